// Near-duplicates side by side: the one that is kept is marked, a click or key takes the other.

import { ask, element, plural, send } from "./server.js";
import { split } from "./curate_inputs.js";

const byId = (id) => document.getElementById(id);
const list = byId("pairs-list");
const EACH = 30;
const MEASURES = { face_size: "px face", real_size: "px real", sharpness: "sharp" };
let pairs = [];
let hooks; // { complain, changed, notice }

export function begin(given) {
  hooks = given;
  byId("pairs-more").addEventListener("click", () => load(false).catch(hooks.complain));
}

export async function load(fresh) {
  const answer = await ask("pairs", { offset: fresh ? 0 : pairs.length, limit: EACH });
  if (fresh) { pairs = []; list.replaceChildren(); }
  pairs.push(...answer.pairs);
  list.append(...answer.pairs.map((pair) => fill(element("li", "pair"), pair)));
  byId("pairs-found").textContent = plural(answer.num_found, "pair");
  byId("pairs-more").hidden = pairs.length >= answer.num_found;
  hooks.changed(answer);
}

export async function refresh() {
  const answer = await ask("pairs", { offset: 0, limit: Math.max(pairs.length, 1) });
  pairs = answer.pairs;
  pairs.forEach((pair, at) => fill(list.children[at], pair));
  hooks.changed(answer);
}

function fill(made, pair) {
  const within = made.contains(document.activeElement);
  const button = element("button", "sides", ...pair.sides.map(side));
  button.type = "button";
  const [one, two] = pair.sides;
  const kept = one.kept && two.kept ? "both kept" : one.kept ? one.source : two.kept ? two.source : "neither";
  button.setAttribute("aria-label", `${one.source} and ${two.source}; kept: ${kept}`);
  button.title = pair.detail ?? "";
  button.addEventListener("click", () => other(pair.number));
  made.classList.remove("saving");
  made.replaceChildren(button);
  if (within) button.focus({ preventScroll: true });
  return made;
}

function side(one) {
  const image = element("img");
  Object.assign(image, { loading: "lazy", decoding: "async", alt: "", draggable: false });
  image.addEventListener("error", () => image.remove());
  if (one.picture) image.src = one.picture;
  const frame = element("span", "frame", one.picture ? image : element("span", "blank", "no picture"), element("span", "why", one.kept ? "" : "dropped"));
  const [folder, name] = split(one.source);
  const source = element("span", "source", element("span", "folder", folder), name);
  const known = Object.entries(MEASURES).filter(([key]) => typeof one.measurements[key] === "number")
    .map(([key, words]) => `${Number(one.measurements[key].toPrecision(3))} ${words}`);
  if (one.class !== null && one.class !== undefined) known.unshift(String(one.class));
  const made = element("span", one.kept ? "side" : "side tossed", frame, source, element("span", "known", known.join(", ")));
  return made;
}

async function other(number) {
  const at = pairs.findIndex((pair) => pair.number === number);
  list.children[at].classList.add("saving");
  try {
    const done = await send(`pairs/${number}/other`);
    pairs[at] = done.pair;
    hooks.changed(done);
    hooks.notice(`Kept ${done.pair.sides.find((one) => one.kept)?.source ?? "neither"}`);
  } catch (error) {
    hooks.complain(error, "Not saved: ");
  }
  fill(list.children[at], pairs[at]);
}

const here = () => [...list.children].findIndex((one) => one.contains(document.activeElement));
const step = (by) => list.children[here() < 0 ? 0 : here() + by]?.querySelector(".sides").focus();
const swap = () => { if (here() >= 0) other(pairs[here()].number); };

export const KEYS = {
  ArrowLeft: () => step(-1),
  ArrowRight: () => step(1),
  ArrowUp: () => step(-1),
  ArrowDown: () => step(1),
  s: swap,
  x: swap,
};
