// Dead letters: why each failed, and another turn or the drop of one or many. And the replay of a stream's past.

import { api, asUtc, byId, count, h, moment, press, query, say } from "./common.js";
import { agree } from "./plan.js";
import { STAGES } from "./words.js";

// `changed` is called after something was done.
export function deadLetters(changed) {
  const filter = byId("dead-filter").elements;
  const said = byId("dead-said");
  const chosen = new Map();
  let next = null;
  let asked = 0;

  const retry = h("button", { type: "button", class: "plain small" });
  const drop = h("button", { type: "button", class: "plain small" });
  byId("dead-buttons").append(retry, drop);
  byId("dead-part").hidden = false;
  byId("replay-part").hidden = false;

  const which = () => (chosen.size ? { ids: [...chosen.keys()] } : { all: true, ...picked() });
  const picked = () => Object.fromEntries([["q", filter.q.value.trim()], ["stream", filter.stream.value]].filter(([, value]) => value));

  function ready(rows) {
    const what = chosen.size ? `${count(chosen.size)} chosen` : (filter.q.value.trim() || filter.stream.value ? "all that match" : "all");
    retry.textContent = `Retry ${what}…`;
    drop.textContent = `Drop ${what}…`;
    if (rows !== undefined) retry.disabled = drop.disabled = rows === 0;
  }

  function box(id, name) {
    const made = h("input", { type: "checkbox", checked: chosen.has(id), "aria-label": `Choose ${name}` });
    made.addEventListener("change", () => {
      if (made.checked) chosen.set(id, name);
      else chosen.delete(id);
      ready();
    });
    return made;
  }

  function letter(one) {
    const name = one.title || one.id;
    const tries = one.attempts === 1 ? "1 attempt" : `${one.attempts} attempts`;
    return h(
      "tr",
      {},
      h("td", { class: "narrow" }, box(one.id, name)),
      h("td", {}, h("div", { class: "named" }, h("div", {}, h("a", { href: `/videos/${encodeURIComponent(one.id)}` }, name), h("p", { class: "quiet" }, one.accountId)))),
      h("td", { "data-name": "Reason" }, h("span", {}, one.reason.text, " ", h("small", { class: "mono" }, one.reason.code))),
      h("td", { "data-name": "Ended in" }, h("span", {}, STAGES[one.stage] || one.stage, h("small", {}, ` · ${tries}${one.takeovers ? `, ${one.takeovers} dead workers` : ""}`))),
      h("td", { "data-name": "When" }, one.endedAt ? moment(one.endedAt) : "–"),
    );
  }

  function entry(one) {
    return h(
      "tr",
      {},
      h("td", { class: "narrow" }, box(one.id, one.entry)),
      h("td", {}, h("span", { class: "mono" }, one.entry), h("p", { class: "quiet" }, "an entry that can't be read")),
      h("td", { "data-name": "Reason" }, h("span", {}, one.reason.text, h("p", { class: "mono" }, one.fields))),
      h("td", { "data-name": "Ended in" }, one.stream),
      h("td", { "data-name": "When" }, moment(one.at)),
    );
  }

  async function look(cursor = null) {
    const turn = (asked += 1);
    try {
      const page = await api(`/api/dead${query({ ...picked(), cursor, limit: 25 })}`);
      if (turn !== asked) return;
      const rows = [...page.entries.map(entry), ...page.dead.map(letter)];
      if (!cursor) {
        const head = h("tr", {}, h("th", { scope: "col", class: "narrow" }, h("span", { class: "hidden-text" }, "Choose")), ["Video", "Reason", "Ended in", "When"].map((name) => h("th", { scope: "col" }, name)));
        byId("dead").replaceChildren(rows.length ? h("table", { class: "cards" }, h("thead", {}, head), h("tbody", {})) : "");
        byId("no-dead").hidden = rows.length > 0;
        byId("no-dead").textContent = filter.q.value || filter.stream.value ? "No dead letter matches. Clear the search to see all." : "No dead letters: nothing has failed for good.";
        ready(rows.length);
      }
      byId("dead").querySelector("tbody")?.append(...rows);
      next = page.next;
      byId("dead-more").hidden = !next;
    } catch (error) {
      say(said, error.message, true);
    }
  }

  async function act(asking) {
    const done = await agree(asking);
    if (!done) return;
    chosen.clear();
    await look();
    changed();
  }

  const titled = (one) => `${one.title || one.videoId} · ${STAGES[one.stage] || one.stage}`;
  press(retry, said, () =>
    act({ title: "Retry dead letters", path: "/api/dead/retry", body: which(), key: "retried", verb: "tried again where they ended", label: titled, act: "Retry" }),
  );
  press(drop, said, () =>
    act({
      title: "Drop dead letters",
      path: "/api/dead/drop",
      body: which(),
      key: "dropped",
      verb: "no longer listed here; videos stay failed, with their reasons and history",
      label: (id) => chosen.get(id) || id,
      act: "Drop",
      grave: true,
    }),
  );
  byId("replay").addEventListener("submit", (event) => {
    event.preventDefault();
    const fields = byId("replay").elements;
    const given = { from: asUtc(fields.from.value), to: asUtc(fields.to.value) };
    const body = { stream: fields.stream.value, status: [fields.status.value], ...Object.fromEntries(Object.entries(given).filter(([, value]) => value)) };
    act({ title: `Replay ${body.stream}`, path: "/api/streams/replay", body, key: "replayed", verb: "given another turn", label: titled, act: "Replay" });
  });
  let typing = null;
  byId("dead-filter").addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => {
      chosen.clear();
      look();
    }, 250);
  });
  byId("dead-filter").addEventListener("submit", (event) => event.preventDefault());
  byId("dead-more").addEventListener("click", () => look(next));
  look();
}
