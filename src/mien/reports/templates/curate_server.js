// Asking the server. Changes are sent one after the other, in the order in which they were made.

export class Failed extends Error {}

async function request(url, options) {
  let response;
  try {
    response = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(60000), ...options });
  } catch {
    throw new Failed("mien curate does not answer. If it was stopped, start it again and open the address that it prints.");
  }
  let body = null;
  try { body = await response.json(); } catch { /* not ours: said below */ }
  if (!response.ok || body === null) throw new Failed(body?.error ?? `the server answered ${response.status}`);
  return body;
}

export function ask(path, parameters = {}) {
  const text = new URLSearchParams(parameters).toString();
  return request(text ? `${path}?${text}` : path, {});
}

let queue = Promise.resolve();

export function send(path, body = {}) {
  const headers = { "Content-Type": "application/json", "X-Mien": "curate" };
  const result = queue.then(() => request(path, { method: "POST", headers, body: JSON.stringify(body) }));
  queue = result.catch(() => {});
  return result;
}

// An element with a class and children; texts stay texts, whatever a file is called.
export function element(tag, className = "", ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

export function plural(count, word) {
  return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
}
