// Asking the server.

export class Failed extends Error {}

async function answered(url, options) {
  let response;
  try {
    response = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(120000), ...options });
  } catch {
    throw new Failed("mien edit does not answer. If it was stopped, start it again and open the address that it prints; what you kept is there.");
  }
  if (response.ok) return response;
  let words = `the server answered ${response.status}`;
  try { words = (await response.json()).error ?? words; } catch { /* not ours */ }
  throw new Failed(words);
}

const query = (parameters) => new URLSearchParams(parameters).toString();

export async function ask(path, parameters = {}) {
  const text = query(parameters);
  return (await answered(text ? `${path}?${text}` : path, {})).json();
}

export async function picture(path, parameters = {}) {
  return (await answered(`${path}?${query(parameters)}`, {})).blob();
}

export async function send(path, body = {}) {
  const headers = { "Content-Type": "application/json", "X-Mien": "edit" };
  return (await answered(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
}

export async function upload(path, file, parameters) {
  const headers = { "Content-Type": "application/octet-stream", "X-Mien": "edit" };
  return (await answered(`${path}?${query(parameters)}`, { method: "POST", headers, body: file })).json();
}

// An element with a class and children; texts stay texts, whatever they hold.
export function element(tag, className = "", ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

export function button(words, className, action) {
  const made = element("button", className, words);
  made.type = "button";
  made.addEventListener("click", action);
  return made;
}
