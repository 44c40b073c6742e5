// The streams: how long, how far behind, what waits and why; and over the last hours.

import { api, byId, count, duration, h, press, query, repeat, say, when } from "./common.js";
import { Chart } from "./chart.js";
import { deadLetters } from "./dead.js";
import { Holders } from "./holders.js";
import { askForPause } from "./plan.js";
import { operates, session } from "./shell.js";
import { paused, tag } from "./words.js";

const SPANS = [[1, "1 h"], [6, "6 h"], [24, "24 h"], [168, "7 d"]];
const MEASURES = {
  lag: ["Lag", count],
  length: ["Length", count],
  pending: ["Pending", count],
  waiting: ["Waiting in the ledger", count],
  parked: ["Parked", count],
  dead: ["Dead letters", count],
  oldestPendingMs: ["Age of the oldest", duration],
  donePerMinute: ["Done per minute", (value) => (Math.round(value * 10) / 10).toString()],
};
const STAGE = { edit: "editing", publish: "publishing" };

const view = byId("view").elements;
const cards = new Map();
let known = null;

function figure(name, value, { tone = "", title = "" } = {}) {
  return h("div", {}, h("dt", { title }, name), h("dd", { class: tone }, value));
}

function figures(one) {
  const lag = one.lag === null ? figure("Lag", "unknown", { tone: "unknown", title: "Redis can't tell, and a guess would be worse" }) : figure("Lag", count(one.lag));
  const dead = one.dead + one.deadEntries;
  return [
    lag,
    figure("Length", one.length === null ? "unknown" : count(one.length), { tone: one.length === null ? "unknown" : "" }),
    figure("Pending", one.pending === null ? "unknown" : count(one.pending), { tone: one.pending === null ? "unknown" : "" }),
    figure("Oldest", one.oldestPendingMs === null ? "–" : duration(one.oldestPendingMs)),
    figure("Done / min", one.donePerMinute.toFixed(1)),
    figure("Waiting", count(one.waiting), { title: "Due, in the ledger: not yet on the stream" }),
    figure("Parked", count(one.parked), { title: "In the ledger for a time to come" }),
    figure("Dead", count(dead), { tone: dead ? "bad" : "" }),
    figure("Review", count(one.needsReview), { tone: one.needsReview ? "bad" : "" }),
  ];
}

// Why it stands as it does, in a sentence or two.
function why(one) {
  const told = [];
  if (one.paused) told.push(`${paused(one.paused)}.`);
  for (const closed of one.closed) {
    const who = closed.what === "newAccounts" ? "accounts that have not posted within the day" : "all accounts";
    told.push(`TikTok has closed posting for ${who} until ${when(closed.until)}: ${closed.text}.`);
  }
  if (!one.consumers) told.push("No worker is alive for it, so nothing is begun.");
  if (one.lag === null) told.push("The lag is unknown: Redis can't count what its group has not read (the group is new, or the stream was trimmed).");
  if (one.waiting && !one.demand && !one.paused) told.push(`${count(one.waiting)} due, and none may start now: a limit or a pause of their account holds them.`);
  else if (one.waiting) told.push(`${count(one.waiting)} due and not yet on the stream: room there and limits let them go in turns.`);
  if (one.parked) told.push(`${count(one.parked)} ${one.parked === 1 ? "waits" : "wait"} for a time to come (a backoff, a limit, an outage, when to post).`);
  if (!told.length) told.push(one.running || one.queued ? "It moves." : "Nothing waits.");
  return told.join(" ");
}

function card(one) {
  const list = h("dl", { class: "figures-row" });
  const text = h("p", { class: "note" });
  const state = h("span", {});
  const hint = h("small", {});
  const toggle = h("button", { type: "button", class: "plain small", hidden: !operates(known) });
  const chart = new Chart();
  const name = h("h2", {}, one.stream, " ", h("small", {}, `→ group ${one.group}`));
  const node = h("article", { "aria-label": one.stream }, h("div", { class: "head" }, name, h("div", { class: "buttons" }, state, toggle)), list, text, chart.node, hint);
  const made = { node, list, text, state, toggle, chart, hint, one };
  press(toggle, byId("said"), async () => {
    if (made.one.paused) await api(`/api/stages/${one.group}/resume`, { method: "POST" });
    else await askForPause(STAGE[one.group] || one.group, `/api/stages/${one.group}/pause`);
    await look();
  });
  return made;
}

function show(one) {
  if (!cards.has(one.stream)) {
    cards.set(one.stream, card(one));
    byId("streams").append(cards.get(one.stream).node);
  }
  const made = cards.get(one.stream);
  made.one = one;
  made.list.replaceChildren(...figures(one));
  made.text.textContent = why(one);
  made.state.replaceChildren(one.paused ? tag("Paused", "bad") : one.closed.length ? tag("Closed by TikTok", "bad") : one.running ? tag(`${one.running} running`, "busy") : tag("Idle"));
  made.toggle.textContent = one.paused ? `Resume ${STAGE[one.group]}` : `Pause ${STAGE[one.group]}…`;
  made.hint.textContent = one.lagSource === "redis" ? "Counted by Redis." : "Counted by the ledger: looking costs no Redis command.";
}

async function look() {
  try {
    const measure = view.measure.value;
    const [now, past] = await Promise.all([api("/api/monitor/streams"), api(`/api/monitor/history${query({ hours: view.hours.value })}`)]);
    now.streams.forEach(show);
    const [name, write] = MEASURES[measure];
    for (const stream of past.streams) {
      const points = stream.points.map((point) => ({ at: point.at, value: point[measure] }));
      cards.get(stream.stream)?.chart.show({ from: past.from, to: past.to, step: past.stepSeconds, points, name: `${name} of ${stream.stream}`, write });
    }
    await holders.look();
    say(byId("said"), "");
    return 4000;
  } catch (error) {
    say(byId("said"), error.message, true);
    return 8000;
  }
}

view.measure.append(...Object.entries(MEASURES).map(([key, [name]]) => h("option", { value: key }, name)));
byId("span").append(
  ...SPANS.map(([hours, text]) =>
    h("label", {}, h("input", { type: "radio", name: "hours", value: hours, checked: hours === 6 }), h("span", {}, text)),
  ),
);
byId("view").addEventListener("change", look);
const holders = new Holders(byId("consumers"), byId("no-consumer"), byId("claim-buttons"), byId("said"));

session.then((who) => {
  known = who;
  holders.act = operates(who);
  if (operates(who)) deadLetters(look);
  repeat(look);
});
