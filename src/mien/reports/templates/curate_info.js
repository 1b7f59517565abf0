// The panel with what is known about one face.

import { ask, element } from "./server.js";

const panel = document.getElementById("info");
const TABLES = ["measurements", "labels", "predictions", "fields"];
const FACTS = ["width", "height", "site", "page", "licence", "purpose", "hash", "sha256"];
let asked = null;

export const isOpen = () => !panel.hidden;

export function close() {
  asked = null;
  panel.hidden = true;
  document.body.classList.remove("with-info");
}

// Show face `item`. toggle() is called when its verdict is to change, shut() when the panel is to go.
export async function show(item, toggle, shut) {
  asked = item.index;
  panel.hidden = false;
  document.body.classList.add("with-info");
  const face = await ask(`faces/${item.index}`);
  if (asked !== item.index) return; // another one was asked for meanwhile
  panel.replaceChildren(...parts(face, toggle, shut));
}

function parts(face, toggle, shut) {
  const top = element("div", "row", element("h2", "", face.source ?? face.name), button("Close", "×", shut));
  const picture = element("img", "picture");
  Object.assign(picture, { src: `pictures/${face.index}`, alt: "the face, large" });
  const words = face.tossed ? [face.reason, face.detail].filter(Boolean).join(": ") || "tossed" : "kept";
  const verdict = element("p", face.tossed ? "verdict out" : "verdict", words);
  const change = button(face.tossed ? "Restore" : "Toss", face.tossed ? "Restore" : "Toss", toggle);
  return [top, picture, element("div", "row", verdict, change), ...tables(face), ...rest(face)];
}

function button(label, text, act) {
  const made = element("button", "", text);
  made.type = "button";
  made.setAttribute("aria-label", label);
  made.addEventListener("click", act);
  return made;
}

function tables(face) {
  const record = face.record;
  const found = TABLES.filter((name) => Object.keys(record[name] ?? {}).length > 0);
  const made = found.map((name) => [element("h3", "", name), list(Object.entries(record[name]))]).flat();
  const facts = FACTS.filter((name) => name in record && record[name] !== null).map((name) => [name, record[name]]);
  if (!record.licence) facts.push(["licence", "not stated"]);
  if (face.label !== null) facts.push(["label", face.label]);
  return [...made, element("h3", "", "file"), list([["name", face.name], ...facts])];
}

function rest(face) {
  const others = Object.entries(face.record).filter(([name]) => ![...TABLES, ...FACTS].includes(name));
  if (others.length === 0) return [];
  const text = JSON.stringify(Object.fromEntries(others), null, 1);
  return [element("details", "", element("summary", "", "The rest of the record"), element("pre", "", text))];
}

function list(entries) {
  const made = element("dl");
  for (const [name, value] of entries) {
    const text = typeof value === "object" ? JSON.stringify(value) : String(value);
    made.append(element("dt", "", name), element("dd", "", text));
  }
  return made;
}
