// One video: what it waits for and until when, source and result, where the time went, and what can be done about it.

import { api, byId, h, moment, press, say, size } from "./common.js";
import { attempts, timeBar } from "./attempts.js";
import { ask } from "./plan.js";
import { LEVELS, PostOptions } from "./post.js";
import { mayChange, operates, session } from "./shell.js";
import { ENDED, STAGES, Steps, badge, nameOf, sentence } from "./words.js";

const id = decodeURIComponent(location.pathname.split("/").pop());
const path = `/api/videos/${encodeURIComponent(id)}`;
const said = byId("said");
const steps = new Steps("this video");
const players = {};
let video = null;
let known = null;
let events = null;
let options = null;
let offered = "";

const REASONABLE = {
  EDITING_QUEUED: "It waits for a free editor.",
  EDITING: "It is being edited.",
  EDITED: "It is edited and waits to be posted.",
  PUBLISHING: "It is being handed to TikTok.",
  PROCESSING: "TikTok has all bytes and is processing the post.",
  POSTED: "It is posted. It may take a few minutes until TikTok shows it in the profile.",
  CANCELED: "It was canceled.",
};

function player(kind, name) {
  const there = kind === "source" ? video.srcUrl : video.editedUrl;
  if (!there || players[kind]) return;
  const made = h("video", { controls: true, preload: kind === "source" ? "none" : "metadata", playsinline: true, "aria-label": name });
  made.src = `${path}/${kind}`;
  if (video.thumbnailUrl) made.poster = `${path}/thumbnail`;
  const gone = h("p", { class: "quiet", hidden: true }, "It can't be played here, or its bytes are not kept any more.");
  made.addEventListener("error", () => {
    gone.hidden = false;
    made.hidden = true;
  });
  players[kind] = h("div", {}, h("h3", {}, name), made, gone, h("small", {}, h("a", { href: `${path}/${kind}`, download: true }, "Download"), ` · ${size(kind === "source" ? video.sourceSize : video.editedSize)}`));
  byId("players").append(players[kind]);
  byId("players-part").hidden = false;
}

function facts() {
  const post = video.postUrl && /^https:\/\//.test(video.postUrl) ? h("a", { href: video.postUrl, rel: "noopener noreferrer", target: "_blank" }, video.postUrl) : null;
  const allowed = ["allowComment", "allowDuet", "allowStitch"].filter((name) => video.options?.[name]).map((name) => name.slice(5).toLowerCase());
  const lines = [
    ["Account", known.role === "viewer" ? video.accountId : h("a", { href: `/accounts/${encodeURIComponent(video.accountId)}` }, video.accountId)],
    ["Uploaded", moment(video.createdAt)],
    ["Post not before", video.publishAt && moment(video.publishAt)],
    ["Likely posted", video.estimatedPostAt && moment(video.estimatedPostAt)],
    ["Ended", video.endedAt && moment(video.endedAt)],
    ["Seen by", LEVELS[video.options?.privacyLevel] || video.options?.privacyLevel],
    ["Allowed", allowed.join(", ") || "no comment, duet or stitch"],
    ["Priority", video.priority],
    ["Post", post],
    ["Id", h("span", { class: "mono" }, video.id)],
  ];
  byId("facts").replaceChildren(...lines.filter(([, value]) => value).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

function show() {
  document.title = `${nameOf(video)} · SubiteYa`;
  byId("title").textContent = nameOf(video);
  byId("status").replaceChildren(badge(video.status));
  steps.show(video);
  byId("why").textContent = sentence(video) || REASONABLE[video.status] || "";
  byId("why").classList.toggle("bad", ["FAILED", "NEEDS_REVIEW"].includes(video.status));
  held();
  if (known.role !== "viewer") {
    player("source", "Source");
    player("edited", "Result");
  }
  facts();
  acts();
}

function acts() {
  const asking = (name, given, grave) => {
    const button = h("button", { type: "button", class: grave ? "plain" : "" }, name);
    press(button, said, async () => {
      await ask(given());
      await load();
    });
    return button;
  };
  const open = !ENDED.includes(video.status);
  const failed = video.status === "FAILED";
  const made = [];
  if (mayChange(known)) {
    if (failed) made.push(asking("Retry…", retry));
    if (["EDITING_QUEUED", "EDITING", "EDITED"].includes(video.status)) made.push(asking("Change when to post…", schedule, true));
    if (open) made.push(asking("Cancel…", cancel, true));
  }
  if (operates(known) && video.status === "NEEDS_REVIEW") {
    made.push(asking("It is on TikTok…", () => resolve("posted")), asking("It is not there: post again…", () => resolve("again"), true), asking("Give up…", () => resolve("giveUp"), true));
  }
  const mark = `${video.status}`;
  if (acts.mark === mark) return;
  acts.mark = mark;
  byId("acts").replaceChildren(...made);
}

const post = (act, json) => () => api(`${path}/${act}`, json ? { json } : { method: "POST" });

const cancel = () => ({ title: "Cancel this video?", text: "It will not be posted. A post that has begun can't be canceled any more; then nothing happens and you are told.", act: "Cancel the video", grave: true, send: post("cancel") });

const retry = () => ({ title: "Try it again?", text: `It failed: ${video.reason?.text || "nobody wrote down why"}. It goes on where it ended, with new attempts.`, act: "Retry", send: post("retry") });

function schedule() {
  const at = h("input", { type: "datetime-local", name: "at" });
  return {
    title: "When to post",
    text: "Empty: as soon as possible. A time that is over counts the same.",
    act: "Change",
    fields: [h("label", {}, "Post not before", at)],
    send: () => api(path, { method: "PATCH", json: { publishAt: at.value ? new Date(at.value).toISOString() : null } }),
  };
}

function resolve(action) {
  if (action === "posted") {
    const number = h("input", { name: "postId", inputmode: "numeric", autocomplete: "off", required: true });
    return {
      title: "It is on TikTok",
      text: "Look at the account's posts first. The video becomes posted with the id that you name, and is not sent again.",
      act: "It is posted",
      word: "posted",
      fields: [h("label", {}, "The post's id (the number at the end of its address)", number)],
      send: () => post("resolve", { action, postId: number.value.trim() })(),
    };
  }
  if (action === "again") {
    return { title: "Post it again", text: "Only if you have looked at TikTok and it is not there, also not among private posts: otherwise it is posted twice.", act: "Post it again", word: "not there", grave: true, send: post("resolve", { action }) };
  }
  return { title: "Give up", text: "The video becomes failed and is not sent again.", act: "Give up", word: "give up", grave: true, send: post("resolve", { action }) };
}

// It can't be posted as it was asked for: its creator chooses again from what the account offers.
function held() {
  const allowed = video.waitingFor && video.waitingFor.allowed;
  byId("choose").hidden = !allowed || !mayChange(known);
  if (!allowed || offered === JSON.stringify(allowed)) return;
  offered = JSON.stringify(allowed);
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
    await api(`${path}/options`, { method: "PATCH", json: options.values() });
    say(said, "");
    await load();
  } catch (error) {
    say(said, error.message, true);
  }
});

function line(one) {
  const why = one.detail && one.detail.text ? `: ${one.detail.text}` : "";
  const who = one.detail && one.detail.worker ? ` (${one.detail.worker})` : "";
  return h("li", {}, moment(one.at, "quiet"), h("span", {}, `${one.stage ? `${STAGES[one.stage] || one.stage} · ` : ""}${one.event}${why}${who}`));
}

async function load() {
  video = (await api(path)).video;
  show();
  byId("time").replaceChildren(...timeBar(video));
  byId("attempts").replaceChildren(...attempts(video));
  byId("timeline").replaceChildren(...video.timeline.map(line));
  if (!ENDED.includes(video.status)) follow();
}

function follow() {
  if (events) return;
  events = new EventSource(`${path}/events`);
  const changed = async (event) => {
    Object.assign(video, JSON.parse(event.data));
    show();
    if (event.type !== "status") return;
    if (ENDED.includes(video.status)) {
      events.close();
      events = null;
    }
    await load().catch((error) => say(said, error.message, true));
  };
  events.addEventListener("status", changed);
  events.addEventListener("progress", changed);
}

byId("steps").append(steps.node);
session.then((who) => {
  known = who;
  return load();
}).catch((error) => {
  byId("why").hidden = true;
  say(said, error.message, true);
});
