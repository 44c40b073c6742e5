"use strict";

const rows = new Map();
let extra = [];

function row(id) {
  const item = element("li");
  const picture = element("img");
  picture.alt = "";
  picture.hidden = true;
  const blank = element("div", "blank");
  const frame = element("div");
  frame.append(picture, blank);
  const body = element("div");
  const line = element("div", "row");
  const link = element("a");
  link.href = `/videos/${encodeURIComponent(id)}`;
  const status = element("span", "badge");
  line.append(link, status);
  const bar = element("progress");
  bar.max = 100;
  const more = element("p", "quiet");
  body.append(line, bar, more);
  item.append(frame, body);
  return { item, picture, blank, link, status, bar, more };
}

function show(video) {
  if (!rows.has(video.id)) rows.set(video.id, row(video.id));
  const one = rows.get(video.id);
  one.link.textContent = video.title || video.id;
  badge(one.status, video.status);
  one.bar.hidden = ENDED.includes(video.status);
  one.bar.value = video.progress;
  one.more.textContent = [when(video.createdAt), sentence(video)].filter(Boolean).join(" · ");
  if (video.thumbnailUrl && one.picture.hidden) {
    one.picture.src = `/api/videos/${encodeURIComponent(video.id)}/thumbnail`;
    one.picture.hidden = false;
    one.blank.hidden = true;
  }
  return one.item;
}

async function refresh() {
  const page = await api("/api/videos?limit=30");
  const first = page.videos.map(show);
  const known = new Set(page.videos.map((video) => video.id));
  const older = extra.filter((video) => !known.has(video.id)).map(show);
  const wanted = [...first, ...older];
  const list = byId("videos");
  const stands = [...list.children];
  if (wanted.length !== stands.length || wanted.some((item, at) => item !== stands[at])) list.replaceChildren(...wanted);
  byId("empty").hidden = wanted.length > 0;
  if (extra.length === 0) byId("more").dataset.next = page.next || "";
  byId("more").hidden = !byId("more").dataset.next;
  return page.videos.some((video) => !ENDED.includes(video.status));
}

// One request every two seconds while something moves and is looked at: a stream for each video would use up the
// few connections that a browser has.
async function follow() {
  let pause = 2000;
  if (!document.hidden) {
    try {
      pause = (await refresh()) ? 2000 : 10000;
      if (follow.failed) say("");
      follow.failed = false;
    } catch (error) {
      pause = 5000;
      follow.failed = true;
      say(error.message, true);
    }
  }
  clearTimeout(follow.timer);
  follow.timer = setTimeout(follow, pause);
}

async function older() {
  const button = byId("more");
  const page = await api(`/api/videos?limit=30&cursor=${encodeURIComponent(button.dataset.next)}`);
  extra = extra.concat(page.videos);
  button.dataset.next = page.next || "";
  await refresh();
}

function accountLine(account) {
  const item = element("li", "", account.displayName || account.id);
  const until = account.closedUntil ? ` until ${when(account.closedUntil)}` : "";
  const state = { ACTIVE: "ready", RECONNECT: "has to be connected again", CLOSED_UNTIL: `closed${until}` }[account.state];
  const parts = [state, account.stateReason, paused(account.paused)];
  if (account.nextPostAt && account.state === "ACTIVE" && new Date(account.nextPostAt) > new Date()) {
    parts.push(`next post ${when(account.nextPostAt)}`);
  }
  parts.push(`${account.postsLastDay} posted in 24 hours`);
  item.append(element("p", "quiet", parts.filter(Boolean).join(" · ")));
  if (account.state === "RECONNECT") {
    const link = element("a", "", "Connect it again");
    link.href = `/api/accounts/connect?accountId=${encodeURIComponent(account.id)}`;
    item.append(link);
  }
  return item;
}

async function accounts() {
  const { accounts: list } = await api("/api/accounts");
  fields.accountId.replaceChildren(
    ...list.map((account) => {
      const option = element("option", "", `${account.displayName || account.id}${account.state === "RECONNECT" ? " (connect again)" : ""}`);
      option.value = account.id;
      return option;
    }),
  );
  byId("no-account").hidden = list.length > 0;
  byId("accounts").replaceChildren(...list.map(accountLine));
  if (!byId("upload").hidden) creator();
}

byId("more").addEventListener("click", older);
byId("sign-out").addEventListener("click", async () => {
  await api("/api/session", { method: "DELETE" });
  location.assign("/sign-in");
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) follow();
});
api("/api/session").then((session) => {
  byId("who").textContent = `${session.user} (${session.role})`;
  byId("upload").hidden = session.role === "viewer";
  byId("connect").hidden = session.role === "viewer";
}).then(accounts);
follow();
