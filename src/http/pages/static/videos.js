// All videos that one may see: search, filters, page by page. What is asked for stands in the address, so it can be sent on.

import { api, byId, h, moment, query, repeat, say } from "./common.js";
import { Follow } from "./follow.js";
import { mayChange, session } from "./shell.js";
import { STATUSES, Steps, badge, nameOf, sentence } from "./words.js";

const LIMIT = 25;
const fields = byId("filter").elements;
const rows = new Map();
const accounts = new Map();
let trail = [];
let next = null;
let asked = 0;

function row(video) {
  const id = video.id;
  const picture = h("div", { class: "thumb" });
  const link = h("a", { href: `/videos/${encodeURIComponent(id)}` });
  const account = h("p", { class: "quiet" });
  const state = h("span", {});
  const steps = new Steps(nameOf(video));
  const why = h("span", {});
  const node = h(
    "tr",
    {},
    h("td", {}, h("div", { class: "named" }, picture, h("div", {}, link, account))),
    h("td", { "data-name": "Status" }, h("div", {}, state, steps.node)),
    h("td", { "data-name": "Why" }, why),
    h("td", { "data-name": "Uploaded", class: "narrow" }, moment(video.createdAt)),
  );
  return { node, picture, link, account, state, steps, why, video };
}

function show(change) {
  const one = rows.get(change.id);
  const video = Object.assign(one.video, change);
  one.link.textContent = nameOf(video);
  if (video.title === undefined) one.link.classList.add("mono");
  one.account.textContent = accounts.get(video.accountId) || video.accountId;
  one.state.replaceChildren(badge(video.status));
  one.steps.show(video);
  one.why.textContent = sentence(video) || "–";
  if (video.thumbnailUrl && !one.thumb) {
    one.thumb = h("img", { class: "thumb", alt: "", loading: "lazy", src: `/api/videos/${encodeURIComponent(video.id)}/thumbnail` });
    one.picture.replaceWith(one.thumb);
  }
}

const follow = new Follow((change) => rows.has(change.id) && show(change));

function wanted() {
  return { q: fields.q.value.trim(), status: fields.status.value, accountId: fields.accountId.value, cursor: trail[trail.length - 1] };
}

async function look() {
  const turn = (asked += 1);
  try {
    const page = await api(`/api/videos${query({ ...wanted(), limit: LIMIT })}`);
    if (turn !== asked) return 15000;
    const shown = new Map(page.videos.map((video) => [video.id, rows.get(video.id) || row(video)]));
    const same = [...shown.keys()].join() === [...rows.keys()].join();
    rows.clear();
    for (const [id, one] of shown) rows.set(id, one);
    page.videos.forEach(show);
    if (!same || !byId("videos").childElementCount) table();
    next = page.next;
    byId("older").hidden = !next;
    byId("newer").hidden = trail.length === 0;
    byId("empty").hidden = rows.size > 0;
    byId("empty").textContent = nothing();
    follow.watch(page.videos);
    say(byId("said"), "");
  } catch (error) {
    say(byId("said"), error.message, true);
  }
  return 15000;
}

function nothing() {
  const { q, status, accountId } = wanted();
  if (next) return "None among the newest ones. Older ones go on searching.";
  if (q || status || accountId) return "No video matches. Clear the search to see all.";
  return "No videos yet. Upload one, and follow it here from its edit to its post.";
}

function table() {
  const head = h("tr", {}, ["Video", "Status", "Why, and until when", "Uploaded"].map((name) => h("th", { scope: "col" }, name)));
  const body = h("tbody", {}, [...rows.values()].map((one) => one.node));
  byId("videos").replaceChildren(rows.size ? h("table", { class: "cards" }, h("thead", {}, head), body) : "");
}

function changed() {
  trail = [];
  const { cursor, ...kept } = wanted();
  history.replaceState(null, "", `/videos${query(kept)}`);
  again();
}

const given = new URLSearchParams(location.search);
fields.status.append(...Object.entries(STATUSES).map(([status, name]) => h("option", { value: status }, name)));
fields.q.value = given.get("q") || "";
fields.status.value = given.get("status") || "";
let typing = null;
fields.q.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(changed, 300);
});
fields.status.addEventListener("change", changed);
fields.accountId.addEventListener("change", changed);
byId("filter").addEventListener("submit", (event) => {
  event.preventDefault();
  changed();
});
byId("older").addEventListener("click", () => {
  trail.push(next);
  again().then(() => scrollTo(0, 0));
});
byId("newer").addEventListener("click", () => {
  trail.pop();
  again();
});

const known = await session;
byId("to-upload").hidden = !mayChange(known);
byId("q-label").firstChild.textContent = mayChange(known) ? "Search title, account, status, reason or id" : "Search by id";
await api("/api/accounts").then(
  (answer) => {
    for (const account of answer.accounts) {
      const name = account.displayName || account.id;
      accounts.set(account.id, name);
      fields.accountId.append(h("option", { value: account.id }, name));
    }
    fields.accountId.value = given.get("accountId") || "";
  },
  (error) => say(byId("said"), error.message, true),
);
const again = repeat(look);
