// The inputs that preparing dropped, with their reasons.

import { ask, element, plural } from "./curate_server.js";

const byId = (id) => document.getElementById(id);
const EACH = 200;
let shown = 0;
let latest = 0;

export function begin(reasons, complain) {
  const all = reasons.reduce((sum, [, count]) => sum + count, 0);
  const options = reasons.map(([reason, count]) => new Option(`${reason || "(no reason)"} (${count})`, `=${reason}`));
  byId("inputs-reason").append(new Option(`Any reason (${all})`, ""), ...options);
  const again = () => load(true).catch(complain);
  let timer;
  byId("inputs-search").addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(again, 200); });
  byId("inputs-reason").addEventListener("change", again);
  byId("inputs-more").addEventListener("click", () => load(false).catch(complain));
}

export async function load(fresh) {
  const number = ++latest;
  const reason = byId("inputs-reason").value;
  const parameters = { text: byId("inputs-search").value, offset: fresh ? 0 : shown, limit: EACH };
  if (reason) parameters.reason = reason.slice(1);
  const answer = await ask("inputs", parameters);
  if (number !== latest) return;
  const rows = answer.items.map((line) =>
    element("tr", "", ...["source", "reason", "detail"].map((key) => element("td", "", line[key]))));
  if (fresh) byId("inputs-rows").replaceChildren();
  byId("inputs-rows").append(...rows);
  shown = (fresh ? 0 : shown) + rows.length;
  byId("inputs-found").textContent = plural(answer.num_found, "file");
  byId("inputs-more").hidden = shown >= answer.num_found;
}
