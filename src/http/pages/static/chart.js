// A small line chart, drawn here: one measure over time. Where nobody could know, or nobody looked, there is a gap.
// Read with the pointer, or with the arrow keys once it has the focus; its figures are also a table.

import { h, moment, when } from "./common.js";

const WIDE = 640;
const HIGH = 180;
const EDGE = { left: 44, right: 12, top: 14, bottom: 26 };

function svg(name, given = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(given)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// The next of 1, 2, 5, 10, 20, 50, …
function ceiling(value) {
  if (value <= 4) return 4;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

export class Chart {
  constructor() {
    this.canvas = svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", tabindex: "0", class: "chart" });
    this.read = h("p", { class: "reading quiet", "aria-live": "polite" });
    this.table = h("table", { class: "figures" });
    this.node = h(
      "figure",
      {},
      this.canvas,
      this.read,
      h("details", {}, h("summary", {}, "As a table"), h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Figures" }, this.table)),
    );
    this.canvas.addEventListener("pointermove", (event) => {
      const box = this.canvas.getBoundingClientRect();
      this.pick(this.nearest(((event.clientX - box.left) / box.width) * WIDE));
    });
    this.canvas.addEventListener("pointerleave", () => this.pick(null));
    this.canvas.addEventListener("blur", () => this.pick(null));
    this.canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
      if (!step || !this.points.length) return;
      event.preventDefault();
      const last = this.points.length - 1;
      this.pick(Math.min(last, Math.max(0, (this.at === null ? last : this.at) + step)));
    });
    this.points = [];
    this.at = null;
  }

  // points: [{ at, value | null }], oldest first; `write` makes text of a value.
  show({ from, to, step, points, name, write }) {
    this.from = new Date(from).getTime();
    this.to = new Date(to).getTime();
    this.points = points.map(({ at, value }) => ({ time: new Date(at).getTime(), at, value }));
    this.write = write;
    const known = this.points.filter((point) => point.value !== null);
    const top = ceiling(Math.max(0, ...known.map((point) => point.value)));
    const x = (time) => EDGE.left + ((time - this.from) / (this.to - this.from)) * (WIDE - EDGE.left - EDGE.right);
    const y = (value) => HIGH - EDGE.bottom - (value / top) * (HIGH - EDGE.top - EDGE.bottom);
    this.x = x;
    this.y = y;
    const parts = [];
    for (const share of [0, 0.5, 1]) {
      const at = y(top * share);
      parts.push(svg("line", { x1: EDGE.left, x2: WIDE - EDGE.right, y1: at, y2: at, class: "grid" }));
      parts.push(svg("text", { x: EDGE.left - 8, y: at + 4, class: "tick end" }, write(top * share)));
    }
    for (const share of [0, 1 / 3, 2 / 3, 1]) {
      const time = this.from + (this.to - this.from) * share;
      const side = share === 0 ? "start" : share === 1 ? "end" : "middle";
      parts.push(svg("text", { x: x(time), y: HIGH - 8, class: `tick ${side}` }, clock(time, this.to - this.from)));
    }
    for (const run of this.runs(step * 1000 * 2.5)) {
      const line = run.map((point) => `${x(point.time).toFixed(1)},${y(point.value).toFixed(1)}`);
      const [first, last] = [run[0], run[run.length - 1]];
      const base = y(0).toFixed(1);
      parts.push(svg("polygon", { points: `${x(first.time).toFixed(1)},${base} ${line.join(" ")} ${x(last.time).toFixed(1)},${base}`, class: "area" }));
      parts.push(svg("polyline", { points: line.join(" "), class: "line" }));
      if (run.length === 1) parts.push(svg("circle", { cx: x(first.time), cy: y(first.value), r: 3, class: "dot" }));
    }
    this.cursor = svg("line", { y1: EDGE.top, y2: HIGH - EDGE.bottom, x1: 0, x2: 0, class: "cursor", visibility: "hidden" });
    this.dot = svg("circle", { r: 4, class: "dot", visibility: "hidden" });
    this.canvas.replaceChildren(...parts, this.cursor, this.dot);
    const now = this.points[this.points.length - 1];
    const peak = known.reduce((best, point) => (best && best.value >= point.value ? best : point), null);
    const words = (point) => (point.value === null ? "unknown" : write(point.value));
    this.calm = now ? `Now ${words(now)}${peak ? ` · highest ${words(peak)} at ${when(peak.at)}` : ""}` : "No samples yet: one is written each minute.";
    this.canvas.setAttribute("aria-label", `${name} over time. ${this.calm}. Arrow keys read single points.`);
    this.words = words;
    this.rows(name);
    this.pick(this.at !== null && this.at < this.points.length ? this.at : null);
  }

  // Lines without a gap.
  runs(widest) {
    const runs = [];
    let before = null;
    for (const point of this.points) {
      if (point.value === null) {
        before = null;
        continue;
      }
      if (!before || point.time - before.time > widest) runs.push([]);
      runs[runs.length - 1].push(point);
      before = point;
    }
    return runs;
  }

  rows(name) {
    const head = h("tr", {}, h("th", { scope: "col" }, "Time"), h("th", { scope: "col" }, name));
    const rows = this.points.slice(-60).reverse();
    this.table.replaceChildren(
      h("thead", {}, head),
      h("tbody", {}, rows.map((point) => h("tr", {}, h("td", {}, moment(point.at)), h("td", {}, this.words(point))))),
    );
  }

  nearest(place) {
    let best = null;
    this.points.forEach((point, at) => {
      const away = Math.abs(this.x(point.time) - place);
      if (best === null || away < best.away) best = { at, away };
    });
    return best && best.at;
  }

  pick(at) {
    this.at = at;
    const point = at === null ? null : this.points[at];
    const shown = point ? "visible" : "hidden";
    this.cursor?.setAttribute("visibility", shown);
    this.dot?.setAttribute("visibility", point && point.value !== null ? "visible" : "hidden");
    this.read.textContent = point ? `${when(point.at)}: ${this.words(point)}` : this.calm || "";
    if (!point) return;
    for (const side of ["x1", "x2"]) this.cursor.setAttribute(side, this.x(point.time));
    if (point.value === null) return;
    this.dot.setAttribute("cx", this.x(point.time));
    this.dot.setAttribute("cy", this.y(point.value));
  }
}

function clock(time, span) {
  const days = span > 36 * 3600 * 1000;
  return new Date(time).toLocaleString([], days ? { weekday: "short", hour: "2-digit" } : { hour: "2-digit", minute: "2-digit" });
}
