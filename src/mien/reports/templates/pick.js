"use strict";
// The page of `mien pick`: which faces are kept. Nothing leaves it but what the user copies or saves.
const find = (id) => document.getElementById(id);
const faces = [...document.querySelectorAll(".face")];
const bySeed = new Map(faces.map((face) => [Number(face.dataset.seed), face]));
const { store, remark } = document.body.dataset;
let kept = new Set();
const past = [];
let last = 0; // the place of the face clicked or moved to

// "0-2,5": as mien's --seeds reads it.
function written(seeds) {
  const runs = [];
  for (const seed of [...seeds].sort((a, b) => a - b)) {
    const run = runs.at(-1);
    if (run && seed === run.at(-1) + 1) run[1] = seed;
    else runs.push([seed]);
  }
  return runs.map((run) => run.join("-")).join(",");
}

// The seeds of a list that are on this page; throws a sentence about what is wrong in it.
function read(text) {
  const seeds = new Set();
  for (const part of text.replace(/#[^\n]*/g, "").split(/[\s,]+/).filter(Boolean)) {
    const match = /^(\d{1,10})(?:-(\d{1,10}))?$/.exec(part);
    if (!match) throw new Error(`“${part.slice(0, 40)}” is neither a seed nor a range like 4-6`);
    const [from, to] = [Number(match[1]), Number(match[2] ?? match[1])];
    const found = [...bySeed.keys()].filter((seed) => seed >= from && seed <= to);
    if (!found.length) throw new Error(`${part} is not on this page`);
    found.forEach((seed) => seeds.add(seed));
  }
  return seeds;
}

function show() {
  for (const [seed, face] of bySeed) face.setAttribute("aria-pressed", String(kept.has(seed)));
  const list = written(kept);
  find("counter").textContent = `${kept.size} of ${bySeed.size} kept`;
  find("seeds").value = list;
  find("undo").disabled = !past.length;
  find("none").disabled = !kept.size;
  find("save").href = `data:text/plain;charset=utf-8,${encodeURIComponent(`# ${remark}\n${list}\n`)}`;
  find("nothing").hidden = !(find("faces").classList.contains("only") && !kept.size);
  find("trouble").hidden = true;
}

function complain(words) {
  find("trouble").textContent = words;
  find("trouble").hidden = false;
}

function remember() {
  try {
    localStorage.setItem(store, written(kept));
  } catch {
    complain("This browser does not let the page remember; save kept.txt before you close it.");
  }
}

function keep(next) {
  past.push(kept);
  kept = next;
  show();
  remember();
}

function toggle(place, { all = false } = {}) {
  const next = new Set(kept);
  const on = !kept.has(Number(faces[place].dataset.seed));
  const [from, to] = all ? [Math.min(last, place), Math.max(last, place)] : [place, place];
  for (const face of faces.slice(from, to + 1)) {
    if (!shown(face)) continue;
    const seed = Number(face.dataset.seed);
    if (on || all) next.add(seed);
    else next.delete(seed);
  }
  last = place;
  keep(next);
}

function undo() {
  if (!past.length) return;
  kept = past.pop();
  show();
  remember();
}

function only() {
  const on = find("faces").classList.toggle("only");
  find("only").setAttribute("aria-pressed", String(on));
  show();
}

const shown = (face) => face.offsetParent !== null;

// Arrow keys go by where faces are seen, so that they are right at any width.
function move(key) {
  const seen = faces.filter(shown);
  const here = Math.max(0, seen.indexOf(faces[last]));
  const top = seen[0]?.offsetTop;
  const across = Math.max(1, seen.filter((face) => face.offsetTop === top).length);
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across, Home: -here, End: seen.length - 1 - here };
  const goal = seen[here + steps[key]];
  if (goal) focus(faces.indexOf(goal));
}

function focus(place) {
  faces[last].tabIndex = -1;
  last = place;
  faces[place].tabIndex = 0;
  faces[place].focus();
}

function press(event) {
  const writing = event.target === find("seeds");
  if (writing || event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (/^Arrow|^Home$|^End$/.test(key)) move(key);
  else if (key === "x") toggle(last);
  else if (key === "u") undo();
  else if (key === "f") only();
  else return;
  event.preventDefault();
}

async function copy() {
  const list = find("seeds");
  try {
    await navigator.clipboard.writeText(list.value);
  } catch {
    list.select(); // not every browser lets a file use the clipboard: it is one key then
    complain("Press Ctrl+C (or Cmd+C) to copy the selected list.");
  }
}

find("faces").addEventListener("click", (event) => {
  const place = faces.indexOf(event.target.closest(".face"));
  if (place < 0) return;
  const before = last;
  focus(place);
  last = event.shiftKey ? before : place;
  toggle(place, { all: event.shiftKey });
});
find("seeds").addEventListener("change", () => {
  try {
    keep(read(find("seeds").value));
  } catch (error) {
    complain(error.message);
  }
});
find("only").addEventListener("click", only);
find("undo").addEventListener("click", undo);
find("none").addEventListener("click", () => keep(new Set()));
find("copy").addEventListener("click", copy);
document.addEventListener("keydown", press);
try {
  kept = read(localStorage.getItem(store) ?? "");
} catch {
  kept = new Set(); // nothing remembered, or nothing that can be read
}
show();
