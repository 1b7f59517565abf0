// The filter and the order: kept in the address, so that a reload changes nothing.

import { element } from "./server.js";

const byId = (id) => document.getElementById(id);
const short = (key) => key.slice(key.indexOf(".") + 1);
const GROUPS = { measurements: "Measurements", labels: "Labels", predictions: "Predictions", fields: "Fields" };

const PLAIN = { show: "all", sort: "name", descending: false, text: "", conditions: [] };

export class Filter {
  constructor(columns, changed) {
    this.columns = new Map(columns.map((column) => [column.key, column]));
    this.changed = changed;
    this.page = 0;
    this.query = structuredClone(PLAIN);
    this.read();
    this.fillColumns();
    this.listen();
    this.show();
  }

  read() {
    try {
      const { page = 0, ...query } = JSON.parse(decodeURIComponent(location.hash.slice(1)));
      const known = (query.conditions ?? []).every((condition) => this.columns.has(condition.column));
      const sorts = ["name", "verdict", ...this.columns.keys()];
      if (!known || (query.sort && !sorts.includes(query.sort))) return;
      this.query = { ...structuredClone(PLAIN), ...query };
      this.page = Number.isInteger(page) && page > 0 ? page : 0;
    } catch { /* no or a foreign hash: begin plain */ }
  }

  write() {
    const hash = encodeURIComponent(JSON.stringify({ ...this.query, page: this.page }));
    history.replaceState(null, "", `#${hash}`);
  }

  reset() {
    const { sort, descending } = this.query;
    this.change({ ...structuredClone(PLAIN), sort, descending });
    this.show();
  }

  change(part) {
    Object.assign(this.query, part);
    this.page = 0;
    this.write();
    this.changed();
  }

  get narrows() {
    return this.query.show !== "all" || this.query.text !== "" || this.query.conditions.length > 0;
  }

  fillColumns() {
    const options = (names) => names.map(([value, text]) => new Option(text, value));
    byId("sort").append(...options([["name", "Name"], ["verdict", "Verdict"]]), ...this.groups());
    byId("add").append(new Option("Filter by…", ""), ...this.groups());
    byId("add").hidden = this.columns.size === 0;
  }

  groups() {
    const groups = new Map();
    for (const key of this.columns.keys()) {
      const name = GROUPS[key.split(".")[0]] ?? "Dataset";
      if (!groups.has(name)) groups.set(name, Object.assign(element("optgroup"), { label: name }));
      groups.get(name).append(new Option(short(key), key));
    }
    return groups.values();
  }

  listen() {
    for (const button of document.querySelectorAll("[data-show]")) {
      button.addEventListener("click", () => { this.change({ show: button.dataset.show }); this.show(); });
    }
    byId("sort").addEventListener("change", (event) => { this.change({ sort: event.target.value }); this.show(); });
    byId("direction").addEventListener("click", () => {
      this.change({ descending: !this.query.descending });
      this.show();
    });
    let timer;
    byId("search").addEventListener("input", (event) => {
      clearTimeout(timer);
      timer = setTimeout(() => { this.change({ text: event.target.value }); this.showClear(); }, 200);
    });
    byId("add").addEventListener("change", (event) => this.add(event.target.value));
    byId("clear").addEventListener("click", () => this.reset());
  }

  add(key) {
    byId("add").value = "";
    const kind = this.columns.get(key).kind;
    const condition = { column: key };
    if (kind === "choice") condition.value = this.columns.get(key).choices[0][0];
    if (kind === "text") condition.contains = "";
    this.change({ conditions: [...this.query.conditions, condition] });
    this.show();
    byId("conditions").lastElementChild.querySelector("input, select").focus();
  }

  // What is set, as the controls show it.
  show() {
    for (const button of document.querySelectorAll("[data-show]")) {
      button.setAttribute("aria-pressed", String(button.dataset.show === this.query.show));
    }
    byId("sort").value = this.query.sort;
    byId("direction").textContent = this.query.descending ? "↓" : "↑";
    byId("direction").title = this.query.descending ? "Largest first; turn round" : "Smallest first; turn round";
    byId("search").value = this.query.text;
    byId("conditions").replaceChildren(...this.query.conditions.map((condition) => this.row(condition)));
    byId("conditions").hidden = this.query.conditions.length === 0;
    this.showClear();
  }

  showClear() {
    byId("clear").hidden = !this.narrows;
  }

  row(condition) {
    const column = this.columns.get(condition.column);
    const edit = (part) => {
      const conditions = this.query.conditions.map((one) => (one === condition ? Object.assign(condition, part) : one));
      this.change({ conditions });
    };
    const fields = { number: bounds, choice: choice, text: part }[column.kind](column, condition, edit);
    const remove = element("button", "", "×");
    remove.type = "button";
    remove.setAttribute("aria-label", `Remove the filter by ${short(column.key)}`);
    remove.addEventListener("click", () => {
      this.change({ conditions: this.query.conditions.filter((one) => one !== condition) });
      this.show();
    });
    return element("div", "condition", element("span", "", short(column.key)), ...fields, remove);
  }
}

function bounds(column, condition, edit) {
  const field = (side, words) => {
    const input = element("input");
    Object.assign(input, { type: "number", step: "any", value: condition[side] ?? "" });
    input.placeholder = Number(column[side].toPrecision(4));
    input.setAttribute("aria-label", `${short(column.key)} ${words}`);
    input.addEventListener("change", () => edit({ [side]: input.value === "" ? null : Number(input.value) }));
    return input;
  };
  return [field("low", "from"), element("span", "soft", "to"), field("high", "to")];
}

function choice(column, condition, edit) {
  const select = element("select");
  select.append(...column.choices.map(([value, count]) => new Option(`${value || "(none)"} (${count})`, value)));
  select.value = condition.value;
  select.setAttribute("aria-label", short(column.key));
  select.addEventListener("change", () => edit({ value: select.value }));
  return [select];
}

function part(column, condition, edit) {
  const input = element("input");
  Object.assign(input, { type: "text", value: condition.contains, placeholder: "contains", maxLength: 200 });
  input.setAttribute("aria-label", `${short(column.key)} contains`);
  input.addEventListener("change", () => edit({ contains: input.value }));
  return [input];
}
