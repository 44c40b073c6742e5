// A video's state in words and colours.

import { duration, h, when } from "./common.js";

export const ENDED = ["POSTED", "FAILED", "CANCELED", "NEEDS_REVIEW"];

export const STATUSES = {
  EDITING_QUEUED: "Waiting for edit",
  EDITING: "Editing",
  EDITED: "Waiting for post",
  PUBLISHING: "Uploading to TikTok",
  PROCESSING: "TikTok is processing",
  POSTED: "Posted",
  FAILED: "Failed",
  CANCELED: "Canceled",
  NEEDS_REVIEW: "Needs review",
};

export const STAGES = { edit: "Edit", publish: "Upload to TikTok", confirm: "Confirm at TikTok" };

const TONES = { POSTED: "good", FAILED: "bad", NEEDS_REVIEW: "bad", CANCELED: "off", EDITING: "busy", PUBLISHING: "busy", PROCESSING: "busy" };

export function tag(text, tone = "") {
  return h("span", { class: `tag ${tone}` }, text);
}

export function badge(status) {
  const made = tag(STATUSES[status] || status, TONES[status] || "");
  made.dataset.status = status;
  return made;
}

export const nameOf = (video) => (video.title === undefined ? video.id : video.title || video.id);

const until = (text) => {
  const ahead = new Date(text) - Date.now();
  return ahead > 1000 ? ` until ${when(text)} (in ${duration(ahead)})` : "";
};

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);


export function paused(pause) {
  if (!pause) return "";
  return `Paused${pause.until ? until(pause.until) : ""}${pause.reason ? `: ${pause.reason}` : ""}`;
}

// One sentence on why nothing moves, or on how it ended.
export function sentence(video) {
  if (video.reason) return capital(video.reason.text);
  if (video.postState && video.postState.code !== "PUBLIC") return capital(video.postState.text);
  if (!video.waitingFor) return "";
  const likely = video.estimatedPostAt ? ` · likely posted ${when(video.estimatedPostAt)}` : "";
  const end = video.waitingFor.until ? ` ·${until(video.waitingFor.until)}` : "";
  return capital(video.waitingFor.text) + (end === " ·" ? "" : end) + likely;
}

const STEPS = [
  ["Edit", "EDITING_QUEUED", "EDITING"],
  ["Upload", "EDITED", "PUBLISHING"],
  ["TikTok", "PROCESSING"],
];

// Three bars: what is done is full, what is under way moves.
export class Steps {
  constructor(name) {
    this.bars = STEPS.map(([text]) => h("progress", { max: 100, value: 0, "aria-label": `${text} of ${name}` }));
    this.at = h("span", { class: "quiet" });
    this.node = h("div", { class: "steps" }, this.bars.map((bar, place) => h("div", {}, bar, h("small", {}, STEPS[place][0]))));
  }

  show(video) {
    const now = STEPS.findIndex((step) => step.includes(video.status));
    this.node.hidden = ENDED.includes(video.status) && video.status !== "POSTED";
    this.bars.forEach((bar, place) => {
      const done = video.status === "POSTED" || (now >= 0 && place < now);
      const moves = place === now && ["EDITING", "PUBLISHING", "PROCESSING"].includes(video.status);
      bar.value = done ? 100 : moves ? video.progress : 0;
      bar.classList.toggle("done", done);
    });
  }
}
