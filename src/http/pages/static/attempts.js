// Where a video's time went: one bar of waiting and of each stage's runs, and a line for each attempt.

import { duration, h, moment } from "./common.js";
import { ENDED, STAGES, tag } from "./words.js";

const KINDS = [["wait", "Waiting"], ["edit", STAGES.edit], ["publish", STAGES.publish], ["confirm", STAGES.confirm]];
const TONES = { done: "good", failed: "bad", "worker died": "bad", "needs review": "bad", retry: "bad" };

const at = (text) => new Date(text).getTime();

// [{ kind, from, to }], without a gap from the upload to the end, or to now.
function spans(video) {
  const end = ENDED.includes(video.status) && video.endedAt ? at(video.endedAt) : Date.now();
  const made = [];
  let place = at(video.createdAt);
  const add = (kind, to) => {
    if (to > place) made.push({ kind, from: place, to });
    place = Math.max(place, to);
  };
  for (const one of video.attempts || []) {
    add("wait", at(one.startedAt));
    add(one.stage, one.endedAt ? at(one.endedAt) : end);
  }
  add("wait", end);
  return made;
}

export function timeBar(video) {
  const parts = spans(video);
  const whole = parts.reduce((sum, part) => sum + part.to - part.from, 0);
  if (!whole) return [h("p", { class: "quiet" }, "It has just arrived.")];
  const spent = KINDS.map(([kind, name]) => [kind, name, parts.filter((part) => part.kind === kind).reduce((sum, part) => sum + part.to - part.from, 0)]);
  const words = spent.filter(([, , ms]) => ms > 0).map(([, name, ms]) => `${name} ${duration(ms)}`);
  const bar = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 1000 24", preserveAspectRatio: "none", class: "time-bar", role: "img", "aria-label": words.join(", ") })) bar.setAttribute(key, value);
  let x = 0;
  for (const part of parts) {
    const wide = ((part.to - part.from) / whole) * 1000;
    const piece = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    for (const [key, value] of Object.entries({ x, y: 0, width: Math.max(wide, 1), height: 24, class: `t-${part.kind}` })) piece.setAttribute(key, value);
    bar.append(piece);
    x += wide;
  }
  const legend = spent.filter(([, , ms]) => ms > 0).map(([kind, name, ms]) => h("li", {}, h("i", { class: `t-${kind}` }), `${name} ${duration(ms)} (${Math.round((ms / whole) * 100)} %)`));
  const ended = ENDED.includes(video.status);
  return [h("p", { class: "quiet" }, `${duration(whole)} from its upload ${ended ? "to its end" : "until now"}.`), bar, h("ul", { class: "legend" }, legend)];
}

export function attempts(video) {
  return (video.attempts || []).map((one) =>
    h(
      "li",
      {},
      h(
        "div",
        { class: "row" },
        h("strong", {}, STAGES[one.stage] || one.stage),
        h("span", { class: "quiet" }, `attempt ${one.attempt} · `, moment(one.startedAt)),
        one.outcome ? tag(one.outcome, TONES[one.outcome] || "") : tag("runs", "busy"),
        h("span", {}, one.durationMs === null ? "…" : duration(one.durationMs)),
      ),
      one.reason ? h("p", { class: "quiet" }, one.reason.text) : null,
      h("small", { class: "mono" }, one.worker),
    ),
  );
}
