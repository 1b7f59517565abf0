// Points to drag: drawn over the picture as arrows, from where a point is to where it is to go.

const NS = "http://www.w3.org/2000/svg";

export class Points {
  constructor(stage, svg, most, changed) {
    Object.assign(this, { stage, svg, most, changed, pulls: [], on: false, open: null });
    stage.addEventListener("pointerdown", (event) => this.#down(event));
    stage.addEventListener("pointermove", (event) => this.#move(event));
    stage.addEventListener("pointerup", () => this.#up());
    stage.addEventListener("pointercancel", () => { this.open = null; this.draw(); });
  }

  turn(on) {
    this.on = on;
    this.stage.classList.toggle("dragging", on);
    this.clear();
  }

  clear() { this.pulls = []; this.open = null; this.draw(); this.changed(); }

  #place(event) {
    const box = this.stage.getBoundingClientRect();
    const share = (value, start, length) => Math.min(1, Math.max(0, (value - start) / length));
    return [share(event.clientX, box.left, box.width), share(event.clientY, box.top, box.height)];
  }

  #down(event) {
    if (!this.on || this.pulls.length >= this.most) return;
    this.stage.setPointerCapture(event.pointerId);
    const [x, y] = this.#place(event);
    this.open = [x, y, x, y];
    this.draw();
  }

  #move(event) {
    if (!this.open) return;
    this.open.splice(2, 2, ...this.#place(event));
    this.draw();
  }

  #up() {
    if (!this.open) return;
    const [x, y, toX, toY] = this.open;
    if (Math.hypot(toX - x, toY - y) > 0.01) this.pulls.push(this.open);
    this.open = null;
    this.draw();
    this.changed();
  }

  // Where the points are now, while they move.
  show(points, targets) { this.pulls = points.map((point, at) => [...point, targets[at][2], targets[at][3]]); this.draw(); }

  draw() {
    const all = this.open ? [...this.pulls, this.open] : this.pulls;
    this.svg.replaceChildren(...all.flatMap(([x, y, toX, toY]) => [
      made("line", { x1: x, y1: y, x2: toX, y2: toY, stroke: "#fff", "stroke-width": .012 }),
      made("line", { x1: x, y1: y, x2: toX, y2: toY, stroke: "#c2185b", "stroke-width": .006 }),
      made("circle", { cx: x, cy: y, r: .014, fill: "#c2185b", stroke: "#fff", "stroke-width": .005 }),
      made("circle", { cx: toX, cy: toY, r: .014, fill: "#1c6580", stroke: "#fff", "stroke-width": .005 }),
    ]));
  }
}

function made(tag, attributes) {
  const one = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
  return one;
}
