// A chosen file: its preview, its title and captions, and the bar of its transfer.

import { duration, h, size } from "./common.js";

const CAPTIONS = ".srt,.vtt,text/vtt";

// "my_clip-final.mp4" → "my clip final"
const titled = (name) => name.replace(/\.[^.]+$/, "").replace(/[_-]+/g, " ").trim();

export const isCaptions = (file) => /\.(srt|vtt)$/i.test(file.name);
export const baseOf = (file) => file.name.replace(/\.[^.]+$/, "").toLowerCase();

export class Picked {
  // `changed` is called whenever it may have become sendable or not; `removed` when it is taken away.
  constructor(file, { changed, removed }) {
    this.file = file;
    this.seconds = null;
    this.done = false;
    this.key = null;
    this.address = URL.createObjectURL(file);
    this.player = h("video", { controls: true, muted: true, playsinline: true, preload: "metadata", "aria-label": `Preview of ${file.name}` });
    this.player.src = this.address;
    this.about = h("small", {}, size(file.size));
    this.title = h("textarea", { rows: "2", maxlength: "2200", required: true });
    this.title.value = titled(file.name);
    this.captions = h("input", { type: "file", accept: CAPTIONS });
    this.given = h("small", {});
    this.bar = h("progress", { max: 100, value: 0, hidden: true, "aria-label": `Transfer of ${file.name}` });
    this.said = h("p", { role: "status" });
    this.away = h("button", { type: "button", class: "plain small", "aria-label": `Remove ${file.name}` }, "Remove");
    this.node = h(
      "li",
      {},
      h("div", { class: "row" }, h("span", { class: "mono" }, file.name), this.away),
      h("div", { class: "picked" }, this.player, h("div", {}, this.about, h("label", {}, "Title", this.title), h("label", {}, "Captions (SRT or VTT)", this.captions), this.given)),
      this.bar,
      this.said,
    );
    this.player.addEventListener("loadedmetadata", () => {
      this.seconds = this.player.duration;
      this.about.textContent = `${size(file.size)} · ${duration(this.seconds * 1000)}`;
      changed();
    });
    this.player.addEventListener("error", () => {
      this.player.replaceWith(h("p", { class: "quiet" }, "No preview of this kind of file"));
    });
    // What is sent next is another upload than what failed before.
    this.node.addEventListener("input", () => {
      this.key = null;
      changed();
    });
    this.away.addEventListener("click", () => {
      this.forget();
      removed(this);
    });
  }

  caption(file) {
    const list = new DataTransfer();
    list.items.add(file);
    this.captions.files = list.files;
    this.given.textContent = `Captions: ${file.name}`;
  }

  // One sentence on why it can't be sent; empty: it can.
  missing(longest) {
    if (!this.title.value.trim()) return `${this.file.name} needs a title.`;
    if (longest && this.seconds > longest) return `${this.file.name} has ${Math.ceil(this.seconds)} s; this account may post ${longest} s. Choose a shorter one.`;
    return "";
  }

  moves(percent) {
    this.bar.hidden = false;
    this.bar.value = percent;
    this.tell(percent < 100 ? `${Math.floor(percent)} %` : "Looking at it…");
  }

  tell(text, bad) {
    this.said.textContent = text;
    this.said.classList.toggle("bad", Boolean(bad));
  }

  rest(resting) {
    for (const field of [this.title, this.captions, this.away]) field.disabled = resting;
  }

  forget() {
    URL.revokeObjectURL(this.address);
    this.node.remove();
  }
}
