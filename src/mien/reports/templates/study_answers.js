// What a participant answers with: buttons and keys for each kind of task. Each gives a node and a promise.

import { button, element } from "./server.js";

// Listen to keys while `node` is on the page. keys: by event.key in small letters.
function onKeys(node, keys) {
  const listen = event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !node.isConnected) return;
    const action = keys[event.key.toLowerCase()];
    if (action) { event.preventDefault(); action(); }
  };
  document.addEventListener("keydown", listen);
  return () => document.removeEventListener("keydown", listen);
}

// build(give) makes the node and says which keys do what; give(answer) ends it.
function asking(build) {
  let give;
  const answer = new Promise(resolve => { give = resolve; });
  const { node, keys } = build(value => give(value));
  return {
    node,
    // From now on answers count.
    open() {
      const stop = onKeys(node, keys ?? {});
      return answer.finally(stop);
    },
  };
}

function realOrFake() {
  return asking(give => {
    const node = element("div", "two");
    for (const [value, words, key] of [["real", "Real", "F"], ["fake", "Fake", "J"]]) {
      const one = button(words, "", () => give(value));
      one.dataset.answer = value;
      one.append(element("kbd", "", key));
      node.append(one);
    }
    return { node, keys: { f: () => give("real"), j: () => give("fake") } };
  });
}

function sides() {
  return asking(give => {
    const node = element("div", "two");
    for (const [value, words, key] of [["left", "Left", "←"], ["right", "Right", "→"]]) {
      const one = button(words, "", () => give(value));
      one.dataset.answer = value;
      one.append(element("kbd", "", key));
      node.append(one);
    }
    return { node, keys: { arrowleft: () => give("left"), arrowright: () => give("right") } };
  });
}

function scales(task) {
  return asking(give => {
    const chosen = {};
    const node = element("div");
    const done = button("Next", "primary", () => give({ ...chosen }));
    done.disabled = true;
    const rows = task.scales.map(scale => {
      const points = element("div", "points");
      const choose = value => {
        chosen[scale.name] = value;
        for (const one of points.children) one.setAttribute("aria-pressed", String(Number(one.dataset.value) === value));
        done.disabled = Object.keys(chosen).length < task.scales.length;
      };
      for (let value = 1; value <= task.points; value += 1) {
        const one = button(String(value), "", () => choose(value));
        one.dataset.value = String(value);
        one.setAttribute("aria-pressed", "false");
        one.setAttribute("aria-label", `${scale.text}: ${value} of ${task.points}`);
        points.append(one);
      }
      const ends = element("div", "ends", element("span", "", `1: ${scale.low}`), element("span", "", `${task.points}: ${scale.high}`));
      const row = element("div", "scale", element("div", "", scale.text), points, ends);
      row.dataset.scale = scale.name;
      node.append(row);
      return { name: scale.name, choose };
    });
    node.append(done);
    const keys = { enter: () => { if (!done.disabled) done.click(); } };
    for (let value = 1; value <= task.points; value += 1) {
      // A digit answers the first scale that has no answer yet.
      keys[String(value)] = () => rows.find(row => !(row.name in chosen))?.choose(value);
    }
    return { node, keys };
  });
}

function attributes(task) {
  return asking(give => {
    const node = element("div");
    const list = element("div", "attributes");
    for (const attribute of task.attributes) {
      const one = button(attribute, "", () => one.setAttribute("aria-pressed", String(one.getAttribute("aria-pressed") !== "true")));
      one.dataset.attribute = attribute;
      one.setAttribute("aria-pressed", "false");
      list.append(one);
    }
    const chosen = () => [...list.children].filter(one => one.getAttribute("aria-pressed") === "true");
    const done = button("Next", "primary", () => give(chosen().map(one => one.dataset.attribute)));
    node.append(list, element("div", "row", done, element("span", "soft", "None of them is an answer too.")));
    return { node };
  });
}

export function answerOf(task) {
  if (task.kind === "rate") return scales(task);
  if (task.kind === "prefer") return sides();
  if (task.kind === "attributes") return attributes(task);
  return realOrFake();
}

export function questionOf(task) {
  if (task.kind === "rate") return "";
  return task.question ?? `${task.timed ? "Was" : "Is"} this a photo of a real person, or a fake?`;
}

// What an attention check asks for, in words.
export function checkWords(task, expected) {
  const please = "This is to see that you read along.";
  if (task.kind === "rate") return `${please} Please choose ${expected}${task.scales.length > 1 ? " on every scale" : ""}.`;
  if (task.kind === "prefer") return `${please} Please choose ${expected}.`;
  if (task.kind === "attributes") return `${please} Please choose "${expected.join('", "')}" and nothing else.`;
  return `${please} Please choose "${expected === "real" ? "Real" : "Fake"}".`;
}
