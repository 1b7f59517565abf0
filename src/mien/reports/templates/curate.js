// The page of mien curate: a grid of faces, verdicts by click and key.
// What it shows as tossed or kept is what the server answered after writing it to disk.

import { ask, element, plural, send } from "./server.js";
import { Filter } from "./curate_filter.js";
import * as info from "./curate_info.js";
import * as inputs from "./curate_inputs.js";
import * as pairs from "./curate_pairs.js";

const byId = (id) => document.getElementById(id);
const grid = byId("grid");
const EACH = 60;
const POLL_MILLISECONDS = 3000; // how soon changes made in another tab show

let filter;
let items = []; // of this page
let answer = { num_found: 0, as_of: null, words: "" }; // the latest page's
let state = { revision: 0, num_faces: 0, num_tossed: 0, num_undo: 0 };
let focused = 0; // place on this page
let anchor = null; // of a range: { place, tossed }
let latest = 0;
let undone = null; // the place that an undo moved to last
const waiting = new Map(); // face -> the verdict that was sent and not answered

// ---- showing

async function load({ fresh = false, focus = null } = {}) {
  const number = ++latest;
  const query = { ...filter.query, as_of: fresh ? null : answer.as_of };
  const parameters = { query: JSON.stringify(query), offset: filter.page * EACH, limit: EACH };
  const found = await ask("faces", parameters);
  if (number !== latest) return;
  if (found.revision < state.revision) return load({ focus }); // a verdict was answered meanwhile
  const pages = Math.max(1, Math.ceil(found.num_found / EACH));
  if (filter.page >= pages) {
    filter.page = pages - 1;
    filter.write();
    return load({ fresh, focus });
  }
  answer = found;
  items = found.items;
  anchor = null;
  focused = Math.min(focus ?? focused, Math.max(0, items.length - 1));
  showState(found);
  showPage(pages);
  if (focus !== null) moveTo(focused);
  else if (info.isOpen()) showInfo();
}

function showPage(pages) {
  const within = grid.contains(document.activeElement);
  grid.replaceChildren(...items.map(card));
  if (within) grid.children[focused]?.querySelector(".face").focus({ preventScroll: true });
  byId("nothing").hidden = items.length > 0;
  const first = filter.page * EACH + 1;
  const range = items.length ? `${first}–${first + items.length - 1} of ` : "";
  byId("found").textContent = range + plural(answer.num_found, "face") + (answer.words ? ` (${answer.words})` : "");
  byId("place").textContent = `page ${filter.page + 1} of ${pages}`;
  byId("previous").disabled = filter.page === 0;
  byId("next").disabled = filter.page >= pages - 1;
  for (const [id, verb] of [["toss-all", "Toss"], ["restore-all", "Restore"]]) {
    byId(id).textContent = `${verb} all ${answer.num_found.toLocaleString("en")}…`;
    byId(id).hidden = !filter.narrows || answer.num_found === 0;
  }
}

function card(item, place) {
  const image = element("img");
  Object.assign(image, { loading: "lazy", decoding: "async", alt: "", draggable: false });
  image.addEventListener("error", () => { image.alt = "cannot be shown"; });
  image.src = `pictures/${item.index}?small=true`;
  const [folder, name] = inputs.split(item.source ?? item.name);
  const source = element("span", "source", element("span", "folder", folder), name);
  const caption = element("span", "caption", source, element("span", "value", item.value));
  const button = element("button", "face", element("span", "frame", image, element("span", "why")), caption);
  button.type = "button";
  button.addEventListener("click", (event) => clicked(place, event.shiftKey));
  const about = element("button", "about", "i");
  Object.assign(about, { type: "button", tabIndex: -1 });
  about.setAttribute("aria-label", `About ${item.source ?? item.name}`);
  about.addEventListener("click", () => { moveTo(place); showInfo(); });
  const made = element("li", "", button, about);
  paint(made, item, place);
  return made;
}

function paint(made, item, place) {
  const button = made.querySelector(".face");
  const why = [item.reason, item.detail].filter(Boolean).join(": ");
  made.classList.toggle("tossed", item.tossed);
  made.classList.toggle("saving", waiting.has(item.index));
  made.classList.toggle("current", info.isOpen() && place === focused);
  button.setAttribute("aria-pressed", String(item.tossed));
  button.setAttribute("aria-label", `${item.source ?? item.name}, ${item.tossed ? `tossed, ${why}` : "kept"}`);
  button.title = [item.source ?? item.name, item.tossed ? why : ""].filter(Boolean).join("\n");
  button.tabIndex = place === focused ? 0 : -1;
  made.querySelector(".why").textContent = item.reason === "curated" ? item.detail : why || "tossed";
}

function repaint() {
  items.forEach((item, place) => paint(grid.children[place], item, place));
}

function showState(next) {
  const { revision, num_faces, num_tossed, num_undo } = next;
  state = { revision, num_faces, num_tossed, num_undo };
  const kept = element("b", "", (num_faces - num_tossed).toLocaleString("en"));
  const tossed = element("b", "", num_tossed.toLocaleString("en"));
  byId("counter").replaceChildren("kept ", kept, ` of ${num_faces.toLocaleString("en")}, tossed `, tossed);
  byId("num-undo").textContent = num_undo ? `(${num_undo})` : "";
  byId("undo").disabled = num_undo === 0;
  const stale = filter.query.show !== "all" || filter.query.sort === "verdict";
  byId("update").hidden = !stale || answer.as_of === revision;
  byId("update").textContent = "Verdicts changed; list anew";
}

let noticeTimer;
function notice(words) {
  byId("notice").textContent = words;
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => { byId("notice").textContent = ""; }, 3500);
}

const NOT_SAVED = "Not saved: ";

function complain(error, before = "") {
  // That a verdict was not saved stays said until one is, or the server is back: what fails to be shown does not hide it.
  if (!before && !byId("trouble").hidden && byId("trouble").textContent.startsWith(NOT_SAVED)) return;
  byId("trouble").textContent = before + error.message;
  byId("trouble").hidden = false;
}

function calm() {
  byId("trouble").hidden = true;
}

function showInfo() {
  const item = items[focused];
  if (!item) return info.close();
  const change = () => toggle(items.findIndex((one) => one.index === item.index));
  info.show(item, change, closeInfo).catch(complain);
  repaint();
}

function closeInfo() {
  info.close();
  repaint();
}

// ---- verdicts

async function change(places, tossed) {
  const indexes = places.map((place) => items[place].index);
  for (const index of indexes) waiting.set(index, tossed);
  repaint();
  await saved(send("verdicts", { indexes, tossed }), tossed ? "Tossed" : "Restored", indexes);
}

async function saved(promise, verb, indexes = []) {
  let done;
  try {
    done = await promise;
    calm();
  } catch (error) {
    complain(error, NOT_SAVED);
  }
  for (const index of indexes) waiting.delete(index);
  if (!done) { // what the disk says now
    repaint();
    return load().catch(() => {});
  }
  take(done);
  const names = done.items.length === 1 ? done.items[0].source ?? done.items[0].name : plural(done.num_changed, "face");
  notice(done.num_changed ? `${verb} ${names}` : "Nothing to change");
  return done;
}

function take(done) {
  const changed = new Map(done.items.map((item) => [item.index, item]));
  items = items.map((item) => (changed.has(item.index) ? { ...item, ...changed.get(item.index) } : item));
  showState(done);
  repaint();
  if (info.isOpen()) showInfo();
  if (done.num_changed > done.items.length) load().catch(complain);
}

function toggle(place) {
  const item = items[place];
  if (!item) return;
  const tossed = !(waiting.get(item.index) ?? item.tossed);
  anchor = { place, tossed };
  change([place], tossed);
}

function clicked(place, shift) {
  const from = anchor;
  moveTo(place);
  if (!shift || from === null) return toggle(place);
  const [low, high] = [Math.min(from.place, place), Math.max(from.place, place)];
  change(Array.from({ length: high - low + 1 }, (_, step) => low + step), from.tossed);
}

async function undo() {
  if (tab !== "faces") {
    await saved(send("undo"), "Undone:");
    await TABS[tab].refresh().catch(complain);
    return;
  }
  const before = focused;
  const done = await saved(send("undo"), "Undone:");
  const place = done ? items.findIndex((item) => item.index === done.items[0]?.index) : -1;
  if (place < 0 || (focused !== before && focused !== undone)) return; // who has gone elsewhere stays there
  moveTo(place);
  undone = place;
}

async function changeAll(tossed) {
  const query = { ...filter.query, as_of: answer.as_of };
  const expected = answer.num_found;
  const verb = tossed ? "Toss" : "Restore";
  if (!(await confirmed(`${verb} all ${plural(expected, "face")} of this filter: ${answer.words}?`, `${verb} ${expected}`))) return;
  await saved(send("verdicts/all", { query, tossed, expected }), tossed ? "Tossed" : "Restored");
}

function confirmed(words, yes) {
  const dialog = byId("confirm");
  byId("confirm-words").textContent = words;
  byId("confirm-yes").textContent = yes;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

// ---- moving

function moveTo(place) {
  focused = place;
  repaint();
  grid.children[place]?.querySelector(".face").focus();
  if (info.isOpen()) showInfo();
}

function columns() {
  const cards = [...grid.children];
  const below = cards.findIndex((one) => one.offsetTop > cards[0].offsetTop);
  return below < 0 ? cards.length : below;
}

function step(by) {
  if (!items.length) return;
  if (!grid.contains(document.activeElement)) return moveTo(focused);
  const place = focused + by;
  if (place >= 0 && place < items.length) return moveTo(place);
  if (Math.abs(by) === 1) return turn(by, by < 0 ? EACH - 1 : 0);
}

// Only a face that is seen to be in focus; else show first which one it is.
function tossFocused() {
  if (grid.contains(document.activeElement)) toggle(focused);
  else if (items.length) moveTo(focused);
}

async function turn(by, focus = 0) {
  const before = filter.page;
  const page = before + by;
  if (page < 0 || page * EACH >= answer.num_found) return;
  filter.page = page;
  try {
    await load({ focus });
    if (focus === 0) window.scrollTo({ top: 0 });
  } catch (error) {
    filter.page = before;
    complain(error);
  }
  filter.write();
}

const KEYS = {
  ArrowLeft: () => step(-1),
  ArrowRight: () => step(1),
  ArrowUp: () => step(-columns()),
  ArrowDown: () => step(columns()),
  Home: () => items.length && moveTo(0),
  End: () => items.length && moveTo(items.length - 1),
  x: tossFocused,
  Delete: tossFocused,
  u: () => { undo(); },
  n: () => turn(1),
  p: () => turn(-1),
  PageDown: () => turn(1),
  PageUp: () => turn(-1),
  i: () => (info.isOpen() ? closeInfo() : showInfo()),
  "/": () => byId("search").focus(),
  "?": () => byId("keys").showModal(),
  Escape: closeInfo,
};

function pressed(event) {
  if (document.querySelector("dialog[open]")) return;
  if (event.target.closest("input, select, textarea")) {
    if (event.key === "Escape") moveTo(focused);
    return;
  }
  const undoing = (event.ctrlKey || event.metaKey) && event.key === "z";
  if (!undoing && (event.ctrlKey || event.metaKey || event.altKey)) return;
  const all = { u: KEYS.u, "?": KEYS["?"] };
  const act = (tab === "faces" ? KEYS : { ...TABS[tab].KEYS, ...all })[undoing ? "u" : event.key];
  if (act) {
    event.preventDefault();
    keys = keys.then(act);
  }
}
let keys = Promise.resolve(); // a key pressed while a page turns means the new page

// ---- beginning

const TABS = { inputs, pairs };
let tab = "faces";

function showTab(name) {
  tab = name;
  for (const one of ["faces", "inputs", "pairs"]) {
    byId(one).hidden = one !== name;
    byId(`tab-${one}`).setAttribute("aria-pressed", String(one === name));
  }
  byId("tools").hidden = name !== "faces";
  byId("conditions").hidden = name !== "faces" || filter.query.conditions.length === 0;
  if (name === "faces") { // something may have been restored meanwhile
    const same = answer.revision === state.revision && answer.num_faces === state.num_faces;
    return same ? undefined : load({ fresh: true }).catch(complain);
  }
  closeInfo();
  TABS[name].load(true).catch(complain);
}

async function poll() {
  if (document.hidden || waiting.size) return;
  try {
    const now = await ask("state");
    if (now.revision !== state.revision) await (tab === "faces" ? load() : TABS[tab].refresh());
    if (lost) calm();
    lost = false;
  } catch (error) {
    lost = true;
    complain(error);
  }
}
let lost = false;

function listen() {
  document.addEventListener("keydown", pressed);
  document.addEventListener("visibilitychange", poll);
  window.addEventListener("focus", poll);
  setInterval(poll, POLL_MILLISECONDS);
  byId("undo").addEventListener("click", undo);
  byId("previous").addEventListener("click", () => turn(-1));
  byId("next").addEventListener("click", () => turn(1));
  byId("update").addEventListener("click", () => load({ fresh: true }).catch(complain));
  byId("toss-all").addEventListener("click", () => changeAll(true));
  byId("restore-all").addEventListener("click", () => changeAll(false));
  byId("confirm-no").addEventListener("click", () => byId("confirm").close());
  byId("confirm-yes").addEventListener("click", () => byId("confirm").close("yes"));
  byId("help").addEventListener("click", () => byId("keys").showModal());
  byId("keys-close").addEventListener("click", () => byId("keys").close());
  byId("tab-faces").addEventListener("click", () => showTab("faces"));
  byId("tab-inputs").addEventListener("click", () => showTab("inputs"));
  byId("tab-pairs").addEventListener("click", () => showTab("pairs"));
}

async function begin() {
  const dataset = await ask("dataset");
  document.title = `${dataset.name}: mien curate`;
  byId("name").textContent = dataset.name;
  byId("num-inputs").textContent = `(${dataset.num_inputs.toLocaleString("en")})`;
  byId("tab-inputs").hidden = dataset.num_inputs === 0;
  filter = new Filter(dataset.columns, () => load({ fresh: true }).catch(complain));
  byId("num-pairs").textContent = `(${dataset.num_pairs.toLocaleString("en")})`;
  byId("tab-pairs").hidden = dataset.num_pairs === 0;
  const hooks = { complain, confirmed, notice, changed: (next) => { showState(next); } };
  inputs.begin(dataset.reasons, hooks);
  pairs.begin(hooks);
  listen();
  const ring = matchMedia("(hover: hover)").matches; // a telephone needs no ring around the first face
  await load({ fresh: true, focus: ring ? 0 : null });
}

begin().catch(complain);
