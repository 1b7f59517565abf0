// What the pages of mien's servers share: asking the server, and making elements.

const PAGE = document.documentElement.dataset.page;

// kind: of a refusal, as the server names it. status: of the answer, 0 where none came.
export class Failed extends Error {
  constructor(words, kind = "error", status = 0) { super(words); Object.assign(this, { kind, status }); }
}

export async function request(url, options = {}) {
  let response;
  try {
    response = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(120000), ...options });
  } catch {
    throw new Failed(`mien ${PAGE} does not answer. If it was stopped, start it again and open the address that it prints; what was done is there.`);
  }
  if (response.ok) return response;
  const { error, kind } = await response.json().catch(() => ({}));
  throw new Failed(error ?? `the server answered ${response.status}`, kind, response.status);
}

export const address = (path, parameters = {}) => {
  const text = new URLSearchParams(parameters).toString();
  return text ? `${path}?${text}` : path;
};

export const post = (body, type = "application/json") => ({
  method: "POST", headers: { "Content-Type": type, "X-Mien": PAGE }, body,
});

async function json(asked) {
  const response = await asked;
  return response.json().catch(() => { throw new Failed("the server's answer was cut off"); });
}

export const ask = (path, parameters = {}) => json(request(address(path, parameters)));

let queue = Promise.resolve();

// Changes are sent one after the other, in the order in which they were made.
export function send(path, body = {}) {
  const result = queue.then(() => json(request(path, post(JSON.stringify(body)))));
  queue = result.catch(() => {});
  return result;
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

export function plural(count, word) {
  return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
}
