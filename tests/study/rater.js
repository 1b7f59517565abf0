// A simulated rater inside the page: presses what a person would press, by what it is told of each picture.
// The skill is {  sets: name -> set, seed, kind, midpoint, slope, right, means, strengths, seen }
(() => {
  const skill = SKILL;
  let state = skill.seed;
  const random = () => { // mulberry32
    state = (state + 0x6D2B79F5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

  // What the page got from the server last.
  let trial = null;
  const fetched = window.fetch;
  window.fetch = async (...asked) => {
    const response = await fetched(...asked);
    if (/(next|votes)$/.test(String(asked[0])) && response.ok) {
      const answer = await response.clone().json();
      trial = answer.next ?? answer;
    }
    return response;
  };

  // How long the picture was there, by another clock than the page's.
  window.seen = [];
  let since = null;
  let shownMs = null;
  new MutationObserver(() => {
    const on = document.querySelector(".stage canvas")?.classList.contains("on") ?? false;
    if (on && since === null) since = performance.now();
    if (!on && since !== null) {
      shownMs = performance.now() - since;
      since = null;
      window.seen.push([trial.position, shownMs]);
    }
  }).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ["class"] });

  const press = node => node?.click();
  const answered = new Set();

  function decide() {
    const sets = trial.pictures.map(name => skill.sets[name]);
    const check = trial.check;
    if (skill.kind === "rate") {
      for (const row of document.querySelectorAll(".scale")) {
        const mean = skill.means[sets[0]];
        const value = check ?? Math.min(5, Math.max(1, Math.round(mean + 0.9 * normal())));
        press(row.querySelector(`[data-value="${value}"]`));
      }
      return press(document.querySelector(".answer .primary"));
    }
    if (skill.kind === "attributes") {
      for (const one of document.querySelectorAll("[data-attribute]")) {
        const name = one.dataset.attribute;
        if (check ? check.includes(name) : random() < skill.seen[sets[0]][name]) press(one);
      }
      return press(document.querySelector(".answer .primary"));
    }
    if (check !== null) return press(document.querySelector(`[data-answer="${check}"]`));
    if (skill.kind === "prefer") {
      const left = random() < 1 / (1 + Math.exp(skill.strengths[sets[1]] - skill.strengths[sets[0]]));
      return press(document.querySelector(`[data-answer="${left ? "left" : "right"}"]`));
    }
    const share = trial.exposure_ms === null ? skill.right : 0.5 + 0.5 / (1 + (shownMs / skill.midpoint) ** -skill.slope);
    const real = (sets[0] === "photos") === (random() < share);
    return press(document.querySelector(`[data-answer="${real ? "real" : "fake"}"]`));
  }

  setInterval(() => {
    const card = document.querySelector(".card");
    if (card) {
      const radio = card.querySelector("input[type=radio]:not(:checked)");
      if (radio && !card.querySelector("input:checked")) press(radio);
      const primary = card.querySelector(".primary:enabled");
      const words = primary?.textContent ?? "";
      if (/agree|Begin|Go on$|Next/.test(words)) press(primary);
      return;
    }
    const made = document.querySelector(".trial[data-ready]");
    if (!made || !trial || Number(made.dataset.position) !== trial.position || answered.has(trial.position)) return;
    answered.add(trial.position);
    setTimeout(decide, 30);
  }, 15);
})();
