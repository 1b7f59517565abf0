// The page of mien edit --serve: a face, sliders that move it along directions, and what is kept of it.
// A step of the history is {face, set, layers}; it stays with the tab when the page is loaded anew.

import { address, ask, button, element, Failed, post, request, send } from "./server.js";
import { Points } from "./edit_drag.js";

const byId = (id) => document.getElementById(id);
const REACH = 3; // units to either side
const EACH = 24; // seeds on the wall
const POLL = 2000; // ms between looks at what other tabs did
const POLL_WORK = 400; // ms while something is at work
const STORED = "mien-edit";

let model = { directions: [], num_layers: 0 };
let now = { face: "0", set: {}, layers: null };
let history = [];
let first = 0; // seed on the wall
let state = { revision: -1, kept: [], faces: [], from_photos: [], works: [], notes: [] };
let work = null; // the piece that this tab began
let points;
const rows = new Map(); // direction -> { input, output, item }

// ---- words to the user

function trouble(words) {
  byId("trouble").hidden = !words;
  byId("trouble").querySelector("span").textContent = words ?? "";
}

let noticed;
function notice(words) {
  byId("notice").textContent = words;
  clearTimeout(noticed);
  noticed = setTimeout(() => { byId("notice").textContent = ""; }, 2500);
}

function guarded(action) {
  return async (...given) => {
    try { return await action(...given); } catch (error) {
      trouble(error instanceof Failed ? error.message : `the page failed: ${error.message}`);
    }
  };
}

// ---- the picture: one request at a time, the latest wish next

const picture = async (path, parameters) => (await request(address(path, parameters))).blob();

let wish = null, busy = false, url = null;

function show(edit = now) {
  wish = edit;
  if (!busy) draw();
}

async function draw() {
  busy = true;
  while (wish) {
    const edit = wish;
    wish = null;
    try {
      const blob = await picture("picture", { edit: JSON.stringify(edit) });
      const image = byId("picture"), old = url;
      url = URL.createObjectURL(blob);
      image.src = url;
      await image.decode();
      image.dataset.edit = JSON.stringify(edit);
      if (old) URL.revokeObjectURL(old);
    } catch (error) {
      if (!wish) trouble(error instanceof Failed ? error.message : "the picture cannot be shown");
    }
  }
  busy = false;
}

const nonzero = (set) => Object.fromEntries(Object.entries(set).filter(([, amount]) => amount));
const copy = (step) => ({ ...step, set: { ...step.set } });
const same = (one, other) => JSON.stringify({ ...one, set: nonzero(one.set) }) === JSON.stringify({ ...other, set: nonzero(other.set) });

// ---- steps

let committed = null; // as the history has it

function commit() {
  now.set = nonzero(now.set);
  if (committed && !same(committed, now)) history.push(committed);
  history = history.slice(-500);
  committed = copy(now);
  sessionStorage.setItem(STORED, JSON.stringify({ now, history, first }));
  byId("undo").disabled = history.length === 0;
  tellCommand();
  tellMoves();
  markFaces();
  const name = state.faces.includes(now.face) ? now.face : `seed ${now.face}`;
  byId("which").textContent = name;
  byId("paste").hidden = !state.from_photos.includes(now.face);
}

function undo() {
  if (!history.length) return;
  now = history.pop();
  committed = null;
  fill();
  commit();
  show();
}

function change(step) {
  now = copy({ ...now, ...step });
  fill();
  commit();
  show();
}

const tellCommand = guarded(async () => {
  const asked = JSON.stringify(now);
  const { command } = await ask("command", { edit: asked });
  if (asked === JSON.stringify(now)) byId("command").value = command;
});

// What all sliders together do to each measured attribute.
function tellMoves() {
  const sums = {};
  for (const direction of model.directions) {
    const amount = now.set[direction.name] ?? 0;
    for (const [name, effect] of Object.entries(direction.effects)) sums[name] = (sums[name] ?? 0) + amount * effect;
  }
  const told = Object.entries(sums).filter(([, sum]) => Math.abs(sum) >= .1).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
  byId("moves").textContent = told.length
    ? `Together, in standard deviations: ${told.slice(0, 6).map(([name, sum]) => `${name} ${signed(sum)}`).join(", ")}` : "";
}

const signed = (value, digits = 1) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;

// ---- sliders

function slider(direction) {
  const input = element("input"), output = element("output");
  Object.assign(input, { type: "range", min: -REACH, max: REACH, step: .05, value: 0 });
  input.setAttribute("aria-label", direction.name);
  const others = Object.entries(direction.effects).filter(([name]) => name !== direction.name).slice(0, 3);
  const known = others.length ? `a unit also moves ${others.map(([name, effect]) => `${name} ${signed(effect, 2)}`).join(", ")}`
    : direction.measured ? "moves nothing else that is measured" : "what else it moves is not measured";
  const sure = direction.accuracy === null ? "" : ` · held-out accuracy ${(100 * direction.accuracy).toFixed(0)} %`;
  const make = button("strip", "link", guarded(() => strip(direction.name)));
  const far = element("span", "far"), words = element("span", "soft", known + sure);
  const item = element("li", "", element("span", "name", direction.name), output, make, input, far, words);
  const [low, high] = (direction.reach ?? [-REACH, REACH]).map((end) => Math.max(-REACH, Math.min(REACH, end)));
  input.style.setProperty("--low", (low + REACH) / (2 * REACH));
  input.style.setProperty("--high", (high + REACH) / (2 * REACH));
  if (direction.reach) input.title = `faces stay whole from ${signed(low, 0)} to ${signed(high, 0)}`;
  input.addEventListener("input", () => {
    now.set[direction.name] = Number(input.value);
    tell(direction.name);
    tellMoves();
    show(copy(now));
  });
  input.addEventListener("change", commit);
  input.addEventListener("dblclick", () => { change({ set: { ...now.set, [direction.name]: 0 } }); });
  rows.set(direction.name, { input, output, item, far, reach: direction.reach });
  return item;
}

function tell(name) {
  const { output, item, far, reach } = rows.get(name), amount = now.set[name] ?? 0;
  const over = reach && (amount < reach[0] || amount > reach[1]);
  far.textContent = over ? `beyond ${signed(amount < 0 ? reach[0] : reach[1], 0)} faces begin to break` : "";
  output.textContent = amount ? signed(amount, 2) : "0";
  item.classList.toggle("moved", amount !== 0);
}

function fill() {
  for (const [name, { input }] of rows) { input.value = now.set[name] ?? 0; tell(name); }
  if (model.num_layers) {
    byId("first").value = now.layers ? now.layers[0] : 0;
    byId("last").value = now.layers ? now.layers[1] : model.num_layers - 1;
  }
}

function layersChanged() {
  let [from, to] = [Number(byId("first").value), Number(byId("last").value)];
  if (from > to) [from, to] = [to, from];
  change({ layers: from === 0 && to === model.num_layers - 1 ? null : [from, to] });
}

function before(on) {
  byId("before").setAttribute("aria-pressed", on);
  show(on ? { face: now.face, set: {}, layers: null } : copy(now));
}

// ---- pictures of their own

async function strip(name) {
  const { reach } = rows.get(name), over = reach && (reach[0] > -REACH || reach[1] < REACH);
  const title = `${name}, from −3 to +3${over ? "; amber: faces begin to break" : ""}`;
  open(await picture("strip", { edit: JSON.stringify(now), name }), title, `strip-${now.face}-${name}.png`);
}

function open(blob, title, file) {
  const image = byId("shown-picture");
  if (image.src) URL.revokeObjectURL(image.src);
  image.src = byId("download").href = URL.createObjectURL(blob);
  image.alt = byId("shown-title").textContent = title;
  byId("download").download = file.replace(/[^\w.-]+/g, "_");
  byId("shown").showModal();
}

// ---- faces and what is kept

function thumb(face, words) {
  const image = element("img");
  Object.assign(image, { loading: "lazy", alt: "", src: `faces/${face}` });
  const pick = button("", "pick", () => change({ face, set: {} }));
  pick.replaceChildren(image, words);
  pick.title = words;
  const item = element("li", "", pick);
  item.dataset.face = face;
  return item;
}

function wall() {
  byId("seed").value = first;
  const seeds = Array.from({ length: EACH }, (_, at) => String(first + at));
  byId("faces").replaceChildren(...state.faces.map((name) => thumb(name, name)), ...seeds.map((seed) => thumb(seed, `seed ${seed}`)));
  markFaces();
}

function markFaces() {
  for (const item of byId("faces").children) item.classList.toggle("current", item.dataset.face === now.face);
}

function turn(to) {
  first = Math.min(4294967295 - EACH, Math.max(0, Math.floor(to) || 0));
  wall();
  commit();
}

function keptList() {
  byId("kept").hidden = state.kept.length === 0;
  byId("num-kept").textContent = `(${state.kept.length})`;
  byId("kept-list").replaceChildren(...state.kept.map((one) => {
    const image = element("img");
    Object.assign(image, { alt: one.command, loading: "lazy", src: `kept/${one.file}` });
    const pick = button("", "pick", () => change(one.edit));
    pick.replaceChildren(image, one.file);
    pick.title = one.command;
    const away = button("×", "away", guarded(async () => { await send("kept/give-up", { file: one.file }); await look(); }));
    away.setAttribute("aria-label", `Keep ${one.file} no longer`);
    return element("li", "", pick, away);
  }));
}

const keep = guarded(async () => {
  const record = await send("kept", now);
  notice(`kept as ${record.file}`);
  await look();
});

async function look() {
  const found = await ask("state");
  const [old, fresh] = [state, found];
  state = found;
  if (old.revision !== fresh.revision) keptList();
  if (old.faces.join() !== fresh.faces.join()) wall();
  for (const words of fresh.notes.filter((one) => !old.notes.includes(one))) notice(words);
}

// ---- work: a photo that is projected, points that are dragged

function begin(made, words) {
  work = { ...made, words, shown: -1 };
  trouble(null);
  follow();
}

const follow = guarded(async () => {
  while (work) {
    await look();
    const found = state.works.find((one) => one.number === work?.number);
    if (!found) { work = null; break; }
    const running = found.state === "waiting" || found.state === "running";
    if (found.face && found.revision !== work.shown) {
      work.shown = found.revision;
      if (!work.face) { work.face = found.face; change({ face: found.face, set: {} }); }
      else if (now.face === found.face) show(copy(now));
    }
    if (found.points.length && work.pulls) points.show(found.points, work.pulls);
    byId("work").hidden = !running;
    byId("progress").max = found.total || 1;
    byId("progress").value = found.step;
    byId("progress-words").textContent = found.state === "waiting" ? "waiting for its turn" : `${work.words}: ${found.step} of ${found.total} steps`;
    if (!running) {
      if (found.state === "failed") trouble(found.error);
      else notice(found.what === "drag" ? `dragged, ${found.step} steps` : "the photo is in the generator");
      if (work.pulls) points.clear();
      byId("crop").hidden = true;
      work = null;
      commit();
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_WORK));
  }
  byId("work").hidden = true;
});

const photo = guarded(async (file) => {
  trouble(null);
  if (!file) return;
  if (file.size > model.most_upload) {
    throw new Failed(`${file.name}: ${(file.size / 1e6).toFixed(0)} MB are too many; photos of up to ${model.most_upload / 1e6} MB are taken`);
  }
  notice(`looking for faces in ${file.name}`);
  const sent = post(file, "application/octet-stream");
  const found = await (await request(address("photos", { name: file.name }), sent)).json();
  if (found.num_faces === 1) return project(found, 1);
  const choices = Array.from({ length: found.num_faces }, (_, at) => {
    const image = element("img");
    Object.assign(image, { alt: `face ${at + 1}`, src: `photos/${found.photo}/${at + 1}` });
    const pick = button("", "pick", () => { byId("choose").close(); project(found, at + 1); });
    pick.replaceChildren(image, `face ${at + 1}`);
    return element("li", "", pick);
  });
  byId("choices").replaceChildren(...choices);
  byId("choose").showModal();
});

const project = guarded(async (found, number) => {
  const made = await send(`photos/${found.photo}/${number}`);
  Object.assign(byId("crop"), { src: `photos/${found.photo}/${number}`, hidden: false });
  begin(made, `finding ${found.name}`);
});

const go = guarded(async () => {
  const pulls = points.pulls.map((one) => [...one]);
  begin({ ...(await send("drags", { edit: now, points: pulls })), pulls }, "dragging");
});

function pointsChanged() {
  const some = points ? points.pulls.length > 0 : false;
  byId("go").hidden = byId("clear").hidden = !some;
  byId("hint").textContent = points?.on && !some ? "Press on a point of the face and pull it to where it is to go." : "";
}

// ---- beginning

function listen() {
  byId("undo").addEventListener("click", undo);
  byId("reset").addEventListener("click", () => change({ set: {}, layers: null }));
  byId("keep").addEventListener("click", keep);
  byId("copy").addEventListener("click", async () => {
    byId("command").select();
    try { await navigator.clipboard.writeText(byId("command").value); notice("copied"); } catch { notice("selected; copy it by Ctrl-C"); }
  });
  const hold = byId("before");
  hold.addEventListener("pointerdown", () => before(true));
  for (const kind of ["pointerup", "pointerleave", "blur"]) {
    hold.addEventListener(kind, () => { if (hold.getAttribute("aria-pressed") === "true") before(false); });
  }
  byId("first").addEventListener("change", layersChanged);
  byId("last").addEventListener("change", layersChanged);
  byId("previous").addEventListener("click", () => turn(first - EACH));
  byId("next").addEventListener("click", () => turn(first + EACH));
  byId("seed").addEventListener("change", () => turn(Number(byId("seed").value)));
  byId("open").addEventListener("click", () => byId("file").click());
  byId("file").addEventListener("change", () => { photo(byId("file").files[0]); byId("file").value = ""; });
  byId("stop").addEventListener("click", guarded(() => work && send(`works/${work.number}/stop`)));
  byId("paste").addEventListener("click", guarded(async () => {
    open(await picture("pasted", { edit: JSON.stringify(now) }), "Back in the photo", `${now.face}-pasted.png`);
  }));
  byId("drag").addEventListener("click", () => {
    const on = byId("drag").getAttribute("aria-pressed") !== "true";
    byId("drag").setAttribute("aria-pressed", on);
    points.turn(on);
  });
  byId("go").addEventListener("click", go);
  byId("clear").addEventListener("click", () => points.clear());
  byId("trouble").querySelector("button").addEventListener("click", () => trouble(null));
  for (const close of document.querySelectorAll("dialog .close")) close.addEventListener("click", () => close.closest("dialog").close());
  listenToKeys();
  listenToDrops();
}

function listenToKeys() {
  addEventListener("keydown", (event) => {
    if (event.target.matches("input:not([type=range]), select, textarea") || document.querySelector("dialog[open]")) return;
    if (event.key === "u" || (event.key === "z" && (event.ctrlKey || event.metaKey))) { event.preventDefault(); undo(); }
    else if (event.key === "k" && !event.repeat) keep();
    else if (event.key === "b" && !event.repeat) before(true);
  });
  addEventListener("keyup", (event) => { if (event.key === "b" && byId("before").getAttribute("aria-pressed") === "true") before(false); });
}

function listenToDrops() {
  let depth = 0;
  const over = (change) => { depth = Math.max(0, change); byId("drop").hidden = depth === 0; };
  addEventListener("dragenter", (event) => { event.preventDefault(); over(depth + 1); });
  addEventListener("dragleave", () => over(depth - 1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => { event.preventDefault(); over(0); photo(event.dataTransfer.files[0]); });
}

const start = guarded(async () => {
  model = await ask("model");
  points = new Points(byId("stage"), byId("arrows"), model.most_points, pointsChanged);
  byId("about").textContent = `${model.model}, ${model.side} px`;
  if (model.problems.length) trouble(model.problems.join("; "));
  byId("sliders").replaceChildren(...model.directions.map(slider));
  byId("no-directions").hidden = model.directions.length > 0;
  byId("range").hidden = model.num_layers < 2 || model.directions.length === 0;
  for (const id of ["first", "last"]) {
    byId(id).replaceChildren(...Array.from({ length: model.num_layers }, (_, at) => new Option(at, at)));
  }
  await look();
  restore();
  listen();
  wall();
  fill();
  commit();
  show();
  document.body.dataset.ready = "";
  setInterval(async () => { if (!work) { try { await look(); } catch { /* said when something is asked */ } } }, POLL);
});

// The steps of this tab, but for faces and directions that are not here any more.
function restore() {
  let stored;
  try { stored = JSON.parse(sessionStorage.getItem(STORED)); } catch { return; }
  if (state.faces.length && !stored) now.face = state.faces[0];
  const known = (step) => (/^\d+$/.test(step.face) || state.faces.includes(step.face)) && Object.keys(step.set).every((name) => rows.has(name));
  if (!stored || !known(stored.now)) return;
  now = stored.now;
  first = stored.first;
  history = stored.history.filter(known);
  const going = state.works.find((one) => one.face === now.face && (one.state === "waiting" || one.state === "running"));
  if (going) begin({ ...going, face: going.face }, going.what === "drag" ? "dragging" : "finding");
}

start();
