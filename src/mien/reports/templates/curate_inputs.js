// The inputs that preparing dropped, as pictures; a click takes one into the dataset or tosses it again.

import { ask, element, plural, send } from "./server.js";

const byId = (id) => document.getElementById(id);
const grid = byId("inputs-grid");
const EACH = 60;
let items = [];
let numFound = 0;
let latest = 0;
let hooks; // { complain, changed, confirmed, notice }

export function begin(reasons, given) {
  hooks = given;
  const all = reasons.reduce((sum, [, count]) => sum + count, 0);
  const options = reasons.map(([reason, count]) => new Option(`${reason || "(no reason)"} (${count})`, `=${reason}`));
  byId("inputs-reason").append(new Option(`Any reason (${all})`, ""), ...options);
  const again = () => load(true).catch(hooks.complain);
  let timer;
  byId("inputs-search").addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(again, 200); });
  byId("inputs-reason").addEventListener("change", again);
  byId("inputs-more").addEventListener("click", () => load(false).catch(hooks.complain));
  byId("inputs-all").addEventListener("click", restoreAll);
}

function query() {
  const reason = byId("inputs-reason").value;
  return { text: byId("inputs-search").value, ...(reason ? { reason: reason.slice(1) } : {}) };
}

export async function load(fresh) {
  const number = ++latest;
  const offset = fresh ? 0 : items.length;
  const answer = await ask("inputs", { ...query(), offset, limit: EACH });
  if (number !== latest) return;
  numFound = answer.num_found;
  items = fresh ? answer.items : [...items, ...answer.items];
  if (fresh) grid.replaceChildren();
  grid.append(...answer.items.map(card));
  byId("inputs-found").textContent = plural(numFound, "file");
  byId("inputs-more").hidden = items.length >= numFound;
  byId("inputs-all").hidden = !items.some((item) => item.can_restore && !item.kept);
  hooks.changed(answer);
}

function card(item) {
  const frame = element("span", "frame");
  const image = element("img");
  Object.assign(image, { loading: "lazy", decoding: "async", alt: "", draggable: false });
  image.addEventListener("error", () => image.remove());
  if (item.has_picture) image.src = `inputs/${item.number}/picture`;
  frame.append(item.has_picture ? image : element("span", "blank", "no picture"), element("span", "why"));
  const [folder, name] = split(item.source);
  const caption = element("span", "caption", element("span", "source", element("span", "folder", folder), name));
  const button = element("button", "face", frame, caption);
  button.type = "button";
  button.addEventListener("click", () => toggle(item.number));
  const made = element("li", "", button);
  paint(made, item);
  return made;
}

export function split(source) {
  const at = source.lastIndexOf("/") + 1;
  return [source.slice(0, at), source.slice(at)];
}

function paint(made, item) {
  const button = made.querySelector(".face");
  const why = [item.reason, item.detail].filter(Boolean).join(": ");
  made.classList.toggle("restored", item.kept);
  made.classList.toggle("lost", !item.can_restore);
  made.querySelector(".why").textContent = item.kept ? "restored" : item.reason;
  button.setAttribute("aria-pressed", String(item.kept));
  button.setAttribute("aria-label", `${item.source}, ${item.kept ? "restored" : why}`);
  const cannot = "It cannot be restored: no face was cut from it, or the .work folder beside the zip is gone.";
  button.title = [item.source, why, item.can_restore ? "" : cannot].filter(Boolean).join("\n");
}

async function toggle(number) {
  const item = items.find((one) => one.number === number);
  if (!item.can_restore) return hooks.notice(`${item.source}: no crop of it is there`);
  grid.children[items.indexOf(item)].classList.add("saving");
  await change(item.kept ? send("verdicts", { indexes: [item.index], tossed: true }) : send("inputs/restore", { numbers: [number] }),
    item.kept ? "Tossed" : "Restored", item.source);
}

async function change(promise, verb, name) {
  try {
    const done = await promise;
    hooks.changed(done);
    hooks.notice(`${verb} ${name}`);
  } catch (error) {
    hooks.complain(error, "Not saved: ");
  }
  await refresh().catch(hooks.complain);
}

// Ask again about what is shown; places stay.
export async function refresh() {
  const number = ++latest;
  const answer = await ask("inputs", { ...query(), offset: 0, limit: Math.max(items.length, 1) });
  if (number !== latest) return;
  const known = new Map(answer.items.map((item) => [item.number, item]));
  items = items.map((item) => known.get(item.number) ?? item);
  items.forEach((item, at) => { paint(grid.children[at], item); grid.children[at].classList.remove("saving"); });
  byId("inputs-all").hidden = !items.some((item) => item.can_restore && !item.kept);
  hooks.changed(answer);
}

async function restoreAll() {
  const found = [];
  while (found.length < numFound) {
    const answer = await ask("inputs", { ...query(), offset: found.length, limit: 500 });
    if (answer.items.length === 0) break;
    found.push(...answer.items);
  }
  const numbers = found.filter((item) => item.can_restore && !item.kept).map((item) => item.number);
  if (!(await hooks.confirmed(`Restore ${plural(numbers.length, "dropped face")}?`, `Restore ${numbers.length}`))) return;
  await change(send("inputs/restore", { numbers }), "Restored", plural(numbers.length, "face"));
}

export const KEYS = {
  ArrowLeft: () => step(-1),
  ArrowRight: () => step(1),
  ArrowUp: () => step(-columns()),
  ArrowDown: () => step(columns()),
  x: () => here() >= 0 && toggle(items[here()].number),
  r: () => here() >= 0 && toggle(items[here()].number),
  "/": () => byId("inputs-search").focus(),
};

const here = () => [...grid.children].findIndex((one) => one.contains(document.activeElement));

function columns() {
  const cards = [...grid.children];
  const below = cards.findIndex((one) => one.offsetTop > cards[0].offsetTop);
  return below < 0 ? cards.length : below;
}

function step(by) {
  const place = here() < 0 ? 0 : here() + by;
  grid.children[place]?.querySelector(".face").focus();
}
