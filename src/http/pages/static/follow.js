// Several videos, live, on one connection: a browser has only a few for a server. Closed while nobody looks.

import { ENDED } from "./words.js";

export class Follow {
  // `changed` gets the fields that changed, with the video's id.
  constructor(changed) {
    this.changed = changed;
    this.ids = "";
    document.addEventListener("visibilitychange", () => this.open());
  }

  // From now on these.
  watch(videos) {
    const ids = videos.filter((video) => !ENDED.includes(video.status)).map((video) => video.id).slice(0, 100).join(",");
    if (ids === this.ids) return;
    this.ids = ids;
    this.open();
  }

  open() {
    if (this.source) this.source.close();
    this.source = null;
    if (!this.ids || document.hidden) return;
    const source = new EventSource(`/api/videos/events?ids=${encodeURIComponent(this.ids)}`);
    const told = (event) => this.changed(JSON.parse(event.data));
    source.addEventListener("status", told);
    source.addEventListener("progress", told);
    this.source = source;
  }
}
