// How a video is to be posted, asked as TikTok's Content Sharing Guidelines want it: nothing is chosen, allowed or
// disclosed before its creator does it, only what the account offers can be chosen, and the consent stands before posting.

import { h } from "./common.js";

export const LEVELS = {
  PUBLIC_TO_EVERYONE: "Everyone",
  MUTUAL_FOLLOW_FRIENDS: "Friends",
  FOLLOWER_OF_CREATOR: "Followers",
  SELF_ONLY: "Only me",
};
const MUSIC = ["Music Usage Confirmation", "https://www.tiktok.com/legal/page/global/music-usage-confirmation/en"];
const BRANDED = ["Branded Content Policy", "https://www.tiktok.com/legal/page/global/bc-policy/en"];

const element = (name, className, text) => h(name, { class: className }, text);

function check(text, more) {
  const label = element("label", "check");
  const box = element("input");
  box.type = "checkbox";
  const words = element("span", "", text);
  if (more) words.append(element("small", "quiet", more));
  label.append(box, words);
  return { label, box };
}

function group(legend, ...parts) {
  const set = element("fieldset");
  set.append(element("legend", "", legend), ...parts);
  return set;
}

function away([text, href]) {
  const link = element("a", "", text);
  link.href = href;
  link.target = "_blank";
  link.rel = "noopener noreferrer";
  return link;
}

export class PostOptions {
  // `changed` is called whenever something else is chosen.
  constructor(root, changed) {
    this.allowed = null;
    this.changed = () => {};
    this.level = element("select");
    this.level.required = true;
    const level = element("label", "", "Who can view this video");
    level.append(this.level);
    this.levelHint = element("p", "quiet");
    this.comment = check("Comment");
    this.duet = check("Duet");
    this.stitch = check("Stitch");
    this.disclose = check(
      "Disclose video content",
      "Turn on to disclose that this video promotes goods or services in exchange for something of value. Your video could promote yourself, a third party, or both.",
    );
    this.yourBrand = check("Your brand", "You are promoting yourself or your own business.");
    this.branded = check("Branded content", "You are promoting another brand or a third party.");
    this.label = element("p", "notice");
    this.brands = element("div", "inner");
    this.brands.append(this.yourBrand.label, this.branded.label, this.label);
    this.generated = check("AI-generated content");
    this.consent = element("p", "consent");
    root.replaceChildren(
      level,
      this.levelHint,
      group("Allow users to", this.comment.label, this.duet.label, this.stitch.label),
      group("Commercial content", this.disclose.label, this.brands),
      this.generated.label,
      this.consent,
    );
    root.addEventListener("change", () => this.show());
    this.offer(null);
    this.changed = changed;
  }

  // What the creator's account offers; null while that is not known.
  offer(allowed) {
    this.allowed = allowed;
    const none = element("option", "", "Choose…");
    none.value = "";
    none.disabled = true;
    none.defaultSelected = true;
    const levels = allowed ? allowed.privacyLevels : [];
    this.level.replaceChildren(
      none,
      ...levels.map((level) => {
        const option = element("option", "", LEVELS[level] || level);
        option.value = level;
        return option;
      }),
    );
    this.level.value = "";
    this.level.disabled = levels.length === 0;
    for (const [one, may] of [[this.comment, "comment"], [this.duet, "duet"], [this.stitch, "stitch"]]) {
      this.lock(one, !allowed || !allowed[may], allowed ? "Switched off in the settings of the TikTok account" : "");
    }
    for (const one of [this.disclose, this.generated]) this.lock(one, !allowed, "");
    this.show();
  }

  // What was asked for before, as far as the account offers it.
  fill(options) {
    const offered = [...this.level.options].some((option) => option.value === options.privacyLevel && option.value);
    this.level.value = offered ? options.privacyLevel : "";
    const set = (one, value) => {
      one.box.checked = Boolean(value) && !one.box.disabled;
    };
    set(this.comment, options.allowComment);
    set(this.duet, options.allowDuet);
    set(this.stitch, options.allowStitch);
    set(this.generated, options.aiGenerated);
    set(this.disclose, options.brandedContent || options.yourBrand);
    this.yourBrand.box.checked = Boolean(options.yourBrand);
    this.branded.box.checked = Boolean(options.brandedContent) && options.privacyLevel !== "SELF_ONLY";
    this.show();
  }

  lock(one, locked, why) {
    one.box.disabled = locked;
    if (locked) one.box.checked = false;
    one.label.classList.toggle("off", locked);
    one.label.title = locked ? why : "";
  }

  show() {
    const disclosed = this.disclose.box.checked;
    this.brands.hidden = !disclosed;
    if (!disclosed) {
      this.yourBrand.box.checked = false;
      this.branded.box.checked = false;
    }
    const rule = "Branded content visibility cannot be set to private.";
    this.lock(this.branded, this.level.value === "SELF_ONLY", rule);
    const branded = this.branded.box.checked;
    for (const option of this.level.options) {
      if (option.value === "SELF_ONLY") {
        option.disabled = branded;
        option.title = branded ? rule : "";
      }
    }
    this.levelHint.textContent = disclosed && (branded || this.branded.box.disabled) ? rule : "";
    this.levelHint.hidden = !this.levelHint.textContent;
    const words = branded ? "Paid partnership" : "Promotional content";
    this.label.textContent =
      branded || this.yourBrand.box.checked
        ? `Your video will be labeled as "${words}". This cannot be changed once your video is posted.`
        : "You need to indicate if your content promotes yourself, a third party, or both.";
    const parts = ["By posting, you agree to TikTok's "];
    if (branded) parts.push(away(BRANDED), " and ");
    parts.push(away(MUSIC), ".");
    this.consent.replaceChildren(...parts);
    this.changed();
  }

  // One sentence on what is still missing; empty: nothing.
  missing() {
    if (!this.allowed) return "What the TikTok account allows is not known yet.";
    if (!this.level.value) return "Choose who can view this video.";
    const chosen = this.yourBrand.box.checked || this.branded.box.checked;
    if (this.disclose.box.checked && !chosen) return this.label.textContent;
    return "";
  }

  values() {
    return {
      privacyLevel: this.level.value,
      allowComment: this.comment.box.checked,
      allowDuet: this.duet.box.checked,
      allowStitch: this.stitch.box.checked,
      brandedContent: this.branded.box.checked,
      yourBrand: this.yourBrand.box.checked,
      aiGenerated: this.generated.box.checked,
    };
  }
}
