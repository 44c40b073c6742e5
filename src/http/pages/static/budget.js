// Redis' bill: this month's commands by purpose, where the month will end, and what is held back so that the plan lasts.

import { api, byId, count, h, repeat, say } from "./common.js";
import "./shell.js";
import { tag } from "./words.js";

const TONES = { OK: "good", WARNING: "bad", CRITICAL: "bad", OVER: "bad" };
const TITLES = { sweeps: "Sweeps come more seldom", edits: "Editing waits", everything: "Everything waits" };

// By the commands' purpose, as the meter has it.
const PURPOSES = {
  connect: "Connecting",
  append: "Putting work on a stream (XADD)",
  read: "Reading work (XREADGROUP)",
  acknowledge: "Work that is done (XACK)",
  repair: "After dead workers (XPENDING, XCLAIM)",
  look: "Looking (XINFO; none on a metered plan)",
  elsewhere: "Counted by the provider alone",
};

const figure = (name, value, tone = "") => h("div", {}, h("dt", {}, name), h("dd", { class: tone }, value));

function outlook({ limit, forecast, forecastRange, provider }) {
  if (provider) {
    const other = limit && limit !== provider.limit ? `; monthly_commands of streams.toml says ${count(limit)}` : "";
    return `The provider counts ${count(provider.usage)} of ${count(provider.limit)} commands${other}, and takes no more until its month begins anew or the plan is raised.`;
  }
  if (!limit) return "This Redis is not metered: commands cost nothing here, and are counted all the same.";
  const range = forecastRange ? ` (likely from ${count(forecastRange.low)} to ${count(forecastRange.high)})` : "";
  const share = Math.round((forecast / limit) * 100);
  const verdict = forecast > limit ? "more than the plan has; the budget stretches what can wait" : "within the plan";
  return `If it goes on like this the month ends at ${count(forecast)}${range}: ${share} % of the plan, ${verdict}.`;
}

async function look() {
  try {
    const usage = await api("/api/monitor/redis-usage");
    const { total, limit, percentage, status, forecast, byPurpose, heldBack = [] } = usage;
    byId("status").replaceChildren(tag(limit ? status : "Not metered", limit ? TONES[status] : "off"));
    byId("figures").replaceChildren(
      figure("Sent", count(total)),
      figure("Plan", limit ? count(limit) : "none"),
      figure("Used", limit ? `${percentage} %` : "–"),
      figure("Forecast", count(forecast), limit && forecast > limit ? "bad" : ""),
    );
    byId("used").hidden = !limit;
    byId("used").value = percentage;
    byId("used").classList.toggle("hot", percentage >= 80);
    byId("outlook").textContent = outlook(usage);
    byId("held").replaceChildren(...heldBack.map((one) => h("li", { class: "note bad" }, h("strong", {}, TITLES[one.what] || one.what), h("p", {}, one.text))));
    byId("nothing-held").hidden = heldBack.length > 0;
    const rows = Object.entries(byPurpose).sort(([, a], [, b]) => b - a);
    byId("purposes").replaceChildren(
      ...rows.map(([name, number]) => h("li", {}, h("span", {}, PURPOSES[name] || name), h("progress", { max: rows[0][1] || 1, value: number, "aria-label": `Commands: ${PURPOSES[name] || name}` }), h("span", {}, count(number)))),
    );
    byId("no-purpose").hidden = rows.length > 0;
    say(byId("said"), "");
  } catch (error) {
    say(byId("said"), error.message, true);
  }
  return 10000;
}

repeat(look);
