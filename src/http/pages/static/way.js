// The newest videos, each moving through its stages.

import { api, byId, h, repeat, say } from "./common.js";
import { Follow } from "./follow.js";
import { Steps, badge, nameOf, sentence } from "./words.js";

const SHOWN = 12;

export function onTheirWay() {
  const rows = new Map();

  function row(video) {
    const picture = h("div", { class: "thumb" });
    const link = h("a", { href: `/videos/${encodeURIComponent(video.id)}` });
    const state = h("span", {});
    const steps = new Steps(nameOf(video));
    const why = h("p", { class: "quiet" });
    const body = h("div", {}, h("div", { class: "row" }, link, state), steps.node, why);
    return { node: h("li", {}, picture, body), picture, link, state, steps, why, video };
  }

  function show(change) {
    const one = rows.get(change.id);
    if (!one) return;
    const video = Object.assign(one.video, change);
    one.link.textContent = nameOf(video);
    one.state.replaceChildren(badge(video.status));
    one.steps.show(video);
    one.why.textContent = sentence(video);
    if (video.thumbnailUrl && !one.thumb) {
      one.thumb = h("img", { class: "thumb", alt: "", loading: "lazy", src: `/api/videos/${encodeURIComponent(video.id)}/thumbnail` });
      one.picture.replaceWith(one.thumb);
    }
  }

  const follow = new Follow(show);

  async function look() {
    try {
      const { videos } = await api(`/api/videos?limit=${SHOWN}`);
      for (const video of videos) if (!rows.has(video.id)) rows.set(video.id, row(video));
      const ids = new Set(videos.map((video) => video.id));
      for (const id of [...rows.keys()]) if (!ids.has(id)) rows.delete(id);
      videos.forEach(show);
      const wanted = videos.map((video) => rows.get(video.id).node);
      const stands = [...byId("way").children];
      if (wanted.length !== stands.length || wanted.some((node, at) => node !== stands[at])) byId("way").replaceChildren(...wanted);
      byId("no-way").hidden = videos.length > 0;
      follow.watch(videos);
      say(byId("way-said"), "");
    } catch (error) {
      say(byId("way-said"), error.message, true);
    }
    return 15000;
  }

  return repeat(look);
}
