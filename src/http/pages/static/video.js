"use strict";

const id = location.pathname.split("/").pop();
const path = `/api/videos/${encodeURIComponent(id)}`;
let video = {};

function link(text, href) {
  const made = element("a", "", text);
  made.href = href;
  return made;
}

function show() {
  byId("title").textContent = video.title || video.id;
  badge(byId("status"), video.status);
  byId("waiting").textContent = sentence(video);
  byId("progress").hidden = ENDED.includes(video.status);
  byId("progress").value = video.progress;
  byId("cancel").hidden = ENDED.includes(video.status);
  held();
  const player = byId("player");
  if (video.editedUrl && player.hidden) {
    player.src = `${path}/edited`;
    if (video.thumbnailUrl) player.poster = `${path}/thumbnail`;
    player.hidden = false;
  }
  const links = [];
  if (video.srcUrl) links.push(link("Source", `${path}/source`), " ");
  if (video.editedUrl) links.push(link("Result", `${path}/edited`), " ");
  if (video.postUrl && /^https?:\/\//.test(video.postUrl)) links.push(link("Post", video.postUrl));
  byId("links").replaceChildren(...links);
}

// It can't be posted as it was asked for: its creator chooses again from what the account offers.
let options = null;
function held() {
  const allowed = video.waitingFor && video.waitingFor.allowed;
  byId("choose").hidden = !allowed || Boolean(video.title === undefined);
  if (!allowed || held.known === JSON.stringify(allowed)) return;
  held.known = JSON.stringify(allowed);
  options = options || new PostOptions(byId("options"), ready);
  options.offer(allowed);
  options.fill(video.options);
}

function ready() {
  const why = options ? options.missing() : "";
  byId("choose-send").disabled = Boolean(why);
  byId("missing").textContent = why;
}

byId("choose").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const body = JSON.stringify(options.values());
    await api(`${path}/options`, { method: "PATCH", headers: { "Content-Type": "application/json" }, body });
    say("");
    await load();
  } catch (error) {
    say(error.message, true);
  }
});

async function load() {
  const answer = await api(path);
  video = answer.video;
  show();
  byId("timeline").replaceChildren(
    ...video.timeline.map((line) => {
      const item = element("li");
      const time = element("time", "", when(line.at));
      time.dateTime = line.at;
      const why = line.detail && line.detail.text ? `: ${line.detail.text}` : "";
      item.append(time, `${line.stage ? `${line.stage} · ` : ""}${line.event}${why}`);
      return item;
    }),
  );
}

function follow() {
  const events = new EventSource(`${path}/events`);
  const changed = (event) => {
    Object.assign(video, JSON.parse(event.data));
    show();
    if (event.type === "status") load();
    if (ENDED.includes(video.status)) events.close();
  };
  events.addEventListener("status", changed);
  events.addEventListener("progress", changed);
}

byId("cancel").addEventListener("click", async () => {
  try {
    await api(`${path}/cancel`, { method: "POST" });
    await load();
  } catch (error) {
    say(error.message, true);
  }
});
load().then(() => {
  if (!ENDED.includes(video.status)) follow();
}, (error) => say(error.message, true));
