"use strict";
// What a user wrote is only ever set as text: never as HTML, never as an address.

const ENDED = ["POSTED", "FAILED", "CANCELED", "NEEDS_REVIEW"];

function byId(id) {
  return document.getElementById(id);
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

async function api(path, options) {
  const response = await fetch(path, options);
  if (response.status === 401) {
    location.assign("/sign-in");
    throw new Error("signed out");
  }
  if (response.status === 204) return null;
  const body = await response.json();
  if (!response.ok) throw new Error(body.detail || response.statusText);
  return body;
}

function say(text, bad) {
  const said = byId("said");
  said.textContent = text;
  said.classList.toggle("bad", Boolean(bad));
}

function when(text) {
  return new Date(text).toLocaleString();
}

function paused(pause) {
  if (!pause) return "";
  const until = pause.until ? ` until ${when(pause.until)}` : "";
  return `paused${until}${pause.reason ? `: ${pause.reason}` : ""}`;
}

// One sentence on why nothing moves, or on how it ended.
function sentence(video) {
  if (video.reason) return video.reason.text;
  if (video.postState && video.postState.code !== "PUBLIC") return video.postState.text;
  if (!video.waitingFor) return "";
  const until = video.waitingFor.until ? ` (until ${when(video.waitingFor.until)})` : "";
  const likely = video.estimatedPostAt ? ` · likely posted ${when(video.estimatedPostAt)}` : "";
  return video.waitingFor.text + until + likely;
}

function badge(made, status) {
  made.textContent = status.replaceAll("_", " ");
  made.dataset.status = status;
}
