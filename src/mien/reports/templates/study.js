// A participant's way through a study: consent, instructions, practice, trials, the end.

import { answerOf, checkWords, questionOf } from "./study_answers.js";
import { canvasOf, framesOf, present, refreshRate, watchHidden } from "./study_exposure.js";
import { button, element } from "./server.js";
import { ask, bitmap, forget, refused } from "./study_server.js";

const screen = document.getElementById("screen");
const leaveButton = document.getElementById("leave");
const pause = ms => new Promise(resolve => setTimeout(resolve, ms));
let study;
let link;
let refreshHz;

function trouble(words) {
  const node = document.getElementById("trouble");
  node.hidden = words === null;
  node.textContent = words ?? "";
}

function show(...nodes) {
  screen.replaceChildren(...nodes);
  window.scrollTo(0, 0);
}

function card(heading, ...nodes) {
  const made = element("section", "card", element("h1", "", heading), ...nodes);
  show(made);
  screen.focus();
  return made;
}

const paragraphs = text => text.split(/\n\s*\n/).map(part => element("p", "", part.trim()));

function pressed(words, className = "primary") {
  let made;
  const press = new Promise(resolve => { made = button(words, className, resolve); });
  return [made, press];
}

// ---- before the first trial

async function consent() {
  const [agree, agreed] = pressed("I agree and take part");
  const [decline, declined] = pressed("I do not take part", "");
  card(study.title, ...paragraphs(study.consent),
    element("p", "soft", "You may stop at any time and delete your answers with \"Leave\" at the top."),
    element("div", "row", agree, decline));
  return Promise.race([agreed.then(() => true), declined.then(() => false)]);
}

async function questions() {
  if (!study.questions.length) return {};
  const [next, pressedNext] = pressed("Next");
  next.disabled = true;
  const answers = {};
  const fields = study.questions.map(question => {
    const field = element("fieldset", "", element("legend", "", question.text));
    for (const choice of question.choices) {
      const input = element("input");
      input.type = "radio";
      input.name = question.name;
      input.addEventListener("change", () => {
        answers[question.name] = choice;
        next.disabled = Object.keys(answers).length < study.questions.length;
      });
      field.append(element("label", "choice", input, choice));
    }
    return field;
  });
  card("About you", ...fields, element("div", "row", next));
  await pressedNext;
  return answers;
}

async function instructions(again) {
  const words = study.practice ? "Begin with practice" : "Begin";
  const [start, started] = pressed(again ? "Go on" : words);
  const extra = study.task.timed
    ? [element("p", "soft", "Pictures appear for a moment only. Look at the cross, keep this tab in front, and do not scroll or zoom.")]
    : [];
  card(again ? "Welcome back" : "What to do", ...paragraphs(study.instructions), ...extra, element("div", "row", start));
  await started;
}

// The link that was given before, from the address of this page or for a recruitment id; a study that has
// ended says so here, before anyone reads what they would consent to.
async function knownLink(recruitment) {
  const given = decodeURIComponent(location.hash.slice(1));
  if (given) return given;
  return (await ask("resume", { recruitment }, trouble)).link;
}

async function enrol(recruitment) {
  if (!await consent()) {
    card("Thank you", element("p", "", "You do not take part; nothing was saved. You can close this page."));
    return null;
  }
  const answers = await questions();
  return (await ask("enrol", { consent: true, recruitment, answers }, trouble)).link;
}

// ---- a trial

async function timedPart(trial, stage) {
  const { task } = study;
  const pictures = await Promise.all([...trial.pictures, ...trial.masks].map(name => bitmap(name, trouble)));
  const [picture, ...masks] = pictures.map(canvasOf);
  const cross = element("div", "cross", "+");
  stage.append(cross, picture, ...masks);
  const layers = [
    ...(task.fixation_ms > 0 ? [{ node: cross, frames: framesOf(task.fixation_ms, refreshHz) }] : []),
    { node: picture, frames: framesOf(trial.exposure_ms, refreshHz) },
    ...masks.map(node => ({ node, frames: framesOf(task.mask_ms, refreshHz) })),
  ];
  const wasHidden = watchHidden();
  const shown = await present(layers, refreshHz);
  const index = layers.findIndex(layer => layer.node === picture);
  return {
    refresh_hz: refreshHz,
    frames_planned: layers[index].frames,
    frames_shown: shown[index].frames,
    achieved_ms: shown[index].ms,
    hidden: wasHidden(),
  };
}

async function stillPart(trial) {
  const pictures = await Promise.all(trial.pictures.map(name => bitmap(name, trouble)));
  return pictures.map(image => { const canvas = canvasOf(image); canvas.classList.add("on"); return canvas; });
}

function pairOf(canvases, asked) {
  const pair = element("div", "pair");
  canvases.forEach((canvas, index) => {
    const one = button("", "", () => asked.node.children[index].click());
    one.setAttribute("aria-label", index ? "right picture" : "left picture");
    one.append(canvas);
    pair.append(one);
  });
  return pair;
}

// Saves an answer. Where another tab answered before, that one stands, and the next trial follows.
async function vote(body) {
  for (;;) {
    try {
      return await ask("votes", body, trouble);
    } catch (error) {
      if (refused(error) && error.kind === "too-early") await pause(300);
      else if (refused(error) && ["replayed", "out-of-order"].includes(error.kind)) {
        return { correct: null, next: await ask("next", { link }, trouble) };
      } else throw error;
    }
  }
}

async function runTrial(trial) {
  const asked = answerOf(study.task);
  const words = trial.check === null
    ? element("p", "question", questionOf(study.task))
    : element("p", "check", checkWords(study.task, trial.check));
  const answer = element("div", "answer", words, asked.node);
  const feedback = element("p", "feedback", trial.state === "practice" ? "Practice" : "");
  const made = element("div", "trial");
  made.dataset.position = String(trial.position);
  let timing = {};
  if (trial.pictures.length && trial.exposure_ms !== null) {
    const stage = element("div", "stage");
    answer.classList.add("hushed");
    made.append(stage, answer, feedback);
    show(made);
    leaveButton.disabled = true;  // it would cover the picture
    timing = await timedPart(trial, stage);
    leaveButton.disabled = false;
    answer.classList.remove("hushed");
  } else if (trial.pictures.length) {
    const canvases = await stillPart(trial);
    const picture = study.task.kind === "prefer" ? pairOf(canvases, asked) : element("div", "stage", ...canvases);
    made.append(picture, answer, feedback);
    show(made);
    await new Promise(requestAnimationFrame);
  } else {
    made.append(answer, feedback);
    show(made);
  }
  const from = performance.now();
  made.dataset.ready = "yes";
  const given = await asked.open();
  timing.reaction_ms = performance.now() - from;
  for (const one of made.querySelectorAll("button")) one.disabled = true;
  forget(trial.pictures);
  const saved = await vote({ link, token: trial.token, answer: given, timing });
  if (saved.correct !== null) {
    feedback.className = saved.correct ? "feedback right" : "feedback wrong";
    feedback.textContent = saved.correct ? "Practice: right" : "Practice: wrong";
    await pause(700);
  }
  return saved.next;
}

function progress(trial) {
  const bar = document.getElementById("progress");
  bar.max = trial.total;
  bar.value = trial.position ?? trial.total;
}

async function between(before, trial) {
  let words = null;
  if (before.state === "practice" && trial.state !== "practice") words = ["Now it counts", "Practice is over. From now on nobody says whether you are right."];
  else if (before.block !== trial.block && trial.state !== "practice") words = ["Take a break", "Rest your eyes as long as you like."];
  if (words === null) return;
  const [go, going] = pressed("Go on");
  card(words[0], element("p", "", words[1]), element("div", "row", go));
  await going;
}

async function trials(first) {
  let trial = first;
  let before = first;
  while (trial.state !== "end") {
    progress(trial);
    await between(before, trial);
    before = trial;
    trial = await runTrial(trial);
  }
  progress(trial);
  end(trial);
}

// ---- the end

function end(result) {
  leaveButton.textContent = "Delete my answers";
  card("Done", ...paragraphs(study.thanks),
    element("p", "soft", "Your code, to show that you took part:"),
    element("p", "code", result.code),
    ...(result.redirect ? [element("div", "row", button("Go back to where you came from", "primary", () => location.assign(result.redirect)))] : []));
}

async function leave() {
  const done = leaveButton.textContent !== "Leave";
  const [remove, removed] = pressed("Delete all my answers", "");
  const [back, backed] = pressed(done ? "Keep them" : "Go on with the study");
  const words = "delete everything that was saved about you, for good.";
  const dialog = element("section", "card", element("h1", "", done ? "Delete your answers?" : "Leave the study?"),
    element("p", "", done ? `You may ${words}` : `Close this page to pause: the same link goes on where you stopped. Or ${words}`),
    element("div", "row", back, remove));
  const whole = [...screen.childNodes];
  screen.replaceChildren(dialog);
  if (await Promise.race([removed.then(() => true), backed.then(() => false)])) {
    await ask("withdraw", { link }, trouble);
    document.getElementById("head").hidden = true;
    history.replaceState(null, "", location.pathname);
    card("Deleted", element("p", "", "All that was saved about you is deleted. You can close this page."));
  } else if (screen.contains(dialog)) screen.replaceChildren(...whole);
}

// ---- all of it

async function device() {
  return {
    refresh_hz: refreshHz, width: window.innerWidth, height: window.innerHeight,
    pixel_ratio: window.devicePixelRatio, touch: navigator.maxTouchPoints > 0,
  };
}

async function run() {
  study = await ask("study", undefined, trouble);
  document.title = study.title;
  document.getElementById("title").textContent = study.title;
  const recruitment = new URLSearchParams(location.search).get(study.parameter) ?? "";
  link = await knownLink(recruitment) ?? await enrol(recruitment);
  if (link === null) return;
  // Behind "#" it is sent to nobody; a reload finds it there.
  history.replaceState(null, "", `${location.pathname}${location.search}#${encodeURIComponent(link)}`);
  document.getElementById("head").hidden = false;
  refreshHz = Math.round(await refreshRate() * 100) / 100;
  // Asked for before the instructions, so that a link that does not work says so at once.
  const known = await ask("hello", { link }, trouble);
  if (!known.finished) await instructions(known.answered > 0);
  await trials(await ask("next", { link, device: await device() }, trouble));
}

leaveButton.addEventListener("click", () => leave().catch(fail));

function fail(error) {
  const words = refused(error) ? error.message : `Something went wrong in this page (${error.message}). Reload it to go on where you stopped.`;
  card(refused(error) && error.kind !== "error" ? "Sorry" : "Something is wrong", element("p", "", words));
}

run().catch(fail);
