// Consumers and what each holds; and the claim of what a dead one left.

import { api, count, duration, h, press } from "./common.js";
import { agree } from "./plan.js";
import { tag } from "./words.js";

const STALLED = "5m";

export class Holders {
  constructor(root, none, buttons, said) {
    this.root = root;
    this.none = none;
    this.buttons = buttons;
    this.chosen = new Set();
    this.act = false;
    this.claimChosen = h("button", { type: "button", class: "plain small", disabled: true }, "Claim chosen…");
    this.claimStalled = h("button", { type: "button", class: "plain small" }, `Claim what stalled for ${STALLED}…`);
    press(this.claimChosen, said, () => this.claim({ ids: [...this.chosen] }, "Claim what was chosen"));
    press(this.claimStalled, said, () => this.claim({ minIdle: STALLED }, `Claim what stalled for ${STALLED}`));
  }

  async claim(body, title) {
    const done = await agree({
      title,
      path: "/api/streams/claim",
      body,
      key: "claimed",
      verb: "taken from their worker and released anew; attempts stay as they are",
      label: (one) => `${one.stream} · ${one.videoId} · held by ${one.consumer || "nobody"}, idle for ${duration(one.idleMs)}`,
      act: "Claim",
    });
    if (done) this.chosen.clear();
    await this.look();
  }

  async look() {
    const [health, answer] = await Promise.all([api("/api/monitor/queue-health"), api("/api/monitor/pending")]);
    if (this.act && !this.buttons.childElementCount) this.buttons.append(this.claimChosen, this.claimStalled);
    const holding = new Map();
    for (const worker of health.workers) holding.set(worker.name, { workers: [...(holding.get(worker.name)?.workers || []), worker], held: [] });
    for (const one of answer.pending) {
      const name = one.consumer || "nobody";
      if (!holding.has(name)) holding.set(name, { workers: [], held: [] });
      holding.get(name).held.push(one);
    }
    const there = new Set(answer.pending.map((one) => one.taskId));
    this.chosen = new Set([...this.chosen].filter((id) => there.has(id)));
    this.claimStalled.disabled = answer.pending.length === 0;
    this.none.hidden = holding.size > 0;
    // What one is about to press stays where it is.
    if (this.root.contains(document.activeElement) && document.activeElement.type === "checkbox" && this.drawn === this.mark(holding)) return;
    this.drawn = this.mark(holding);
    this.root.replaceChildren(holding.size ? this.table(holding) : "");
    this.ready();
  }

  mark(holding) {
    return JSON.stringify([...holding].map(([name, { held }]) => [name, held.map((one) => one.taskId)]));
  }

  ready() {
    this.claimChosen.disabled = this.chosen.size === 0;
  }

  table(holding) {
    const columns = ["Consumer", "Slots", "Holds", "Since", "Last sign", "Deliveries"];
    const head = h("tr", {}, columns.map((name) => h("th", { scope: "col" }, name)));
    const rows = [...holding].sort().flatMap(([name, one]) => this.rows(name, one));
    return h("table", { class: "cards" }, h("thead", {}, head), h("tbody", {}, rows));
  }

  rows(name, { workers, held }) {
    const slots = workers.map((worker) => `${worker.stage} ${worker.busy} of ${worker.slots}`).join(", ");
    const who = h("span", { class: "mono" }, name);
    const alive = workers.length ? null : tag("not alive", "bad");
    const first = (span) => [h("td", { rowspan: span }, who, " ", alive), h("td", { "data-name": "Slots", rowspan: span }, slots || "–")];
    if (!held.length) return [h("tr", {}, first(1), h("td", { "data-name": "Holds", class: "quiet" }, "nothing"), h("td", {}), h("td", {}), h("td", {}))];
    return held.map((one, place) => h("tr", {}, place === 0 ? first(held.length) : null, this.held(one)));
  }

  held(one) {
    const link = h("a", { href: `/videos/${encodeURIComponent(one.videoId)}`, class: "mono" }, one.videoId);
    const box = h("input", { type: "checkbox", checked: this.chosen.has(one.taskId), "aria-label": `Choose ${one.videoId}` });
    box.addEventListener("change", () => {
      if (box.checked) this.chosen.add(one.taskId);
      else this.chosen.delete(one.taskId);
      this.ready();
    });
    const gone = one.leaseLeftMs < 0 ? tag("lease over", "bad") : null;
    return [
      h("td", { "data-name": "Holds" }, h("span", {}, this.act ? h("label", { class: "check" }, box, h("span", {}, link)) : link, h("small", {}, ` ${one.stream}`))),
      h("td", { "data-name": "Since" }, duration(one.ageMs)),
      h("td", { "data-name": "Last sign" }, h("span", {}, `${duration(one.idleMs)} ago `, gone)),
      h("td", { "data-name": "Deliveries" }, count(one.deliveries), one.takeovers ? h("small", {}, ` (${one.takeovers} taken over)`) : null),
    ];
  }
}
