// One account: who it is, its state and why, its limits, pause and resume.

import { api, count, duration, h, moment, press } from "./common.js";
import { ask, askForPause } from "./plan.js";
import { mayChange, operates } from "./shell.js";
import { paused, tag } from "./words.js";

const STATES = {
  ACTIVE: ["Ready", "good"],
  RECONNECT: ["Connect again", "bad"],
  CLOSED_UNTIL: ["Closed by TikTok", "bad"],
};

export class AccountCard {
  // `changed` is called after something was done.
  constructor(id, known, said, changed) {
    const path = `/api/accounts/${encodeURIComponent(id)}`;
    this.face = h("div", { class: "face", "aria-hidden": "true" });
    this.name = h("strong", {});
    this.user = h("span", { class: "quiet" });
    this.state = h("span", {});
    this.why = h("p", { class: "note bad" });
    this.facts = h("dl", { class: "facts" });
    this.acts = h("div", { class: "buttons" });
    this.known = known;
    this.said = said;
    this.changed = changed;
    this.path = path;
    this.node = h("article", {}, h("div", { class: "head" }, h("div", { class: "person" }, this.face, h("div", {}, this.name, this.user)), this.state), this.why, this.facts, this.acts);
  }

  show(account) {
    const name = account.displayName || account.id;
    this.node.setAttribute("aria-label", name);
    this.name.textContent = name;
    this.user.textContent = account.username ? `@${account.username}` : account.id;
    this.picture(account, name);
    const [text, tone] = account.paused ? ["Paused", "bad"] : STATES[account.state] || [account.state, ""];
    this.state.replaceChildren(tag(text, tone));
    const why = [account.stateReason, paused(account.paused), account.closedUntil ? `Until ${new Date(account.closedUntil).toLocaleString()}` : ""].filter(Boolean);
    this.why.textContent = why.join(" · ");
    this.why.hidden = why.length === 0;
    this.facts.replaceChildren(...this.lines(account).flatMap(([term, value]) => [h("dt", {}, term), h("dd", {}, value)]));
    const mark = `${account.state} ${Boolean(account.paused)}`;
    if (mark !== this.mark) this.acts.replaceChildren(...this.buttons(account, name));
    this.mark = mark;
  }

  lines(account) {
    const ahead = account.nextPostAt ? new Date(account.nextPostAt) - Date.now() : null;
    const next = ahead === null ? "not before somebody does something" : ahead > 1000 ? [moment(account.nextPostAt), ` · in ${duration(ahead)}`] : "now";
    const lines = [["Next allowed post", next], ["Posts in 24 hours", count(account.postsLastDay)], ["Connected", moment(account.createdAt)]];
    if (operates(this.known)) lines.push(["User", account.user]);
    return lines;
  }

  picture(account, name) {
    this.initial = [...name][0] || "?";
    if (!this.face.childNodes.length) this.face.textContent = this.initial;
    if (!account.avatarUrl || this.asked) return;
    this.asked = true;
    const image = h("img", { class: "face", alt: "" });
    image.addEventListener("load", () => {
      this.face.replaceWith(image);
      this.face = image;
    });
    image.src = `${this.path}/avatar`;
  }

  buttons(account, name) {
    if (!mayChange(this.known)) return [];
    const does = (text, act, plain = true) => {
      const button = h("button", { type: "button", class: plain ? "plain small" : "small" }, text);
      press(button, this.said, async () => {
        await act();
        await this.changed();
      });
      return button;
    };
    const made = [];
    if (account.state === "RECONNECT") {
      made.push(h("a", { class: "button small", href: `/api/accounts/connect?accountId=${encodeURIComponent(account.id)}` }, "Connect it again"));
    }
    made.push(h("a", { class: "button plain small", href: `/accounts/${encodeURIComponent(account.id)}` }, "Brand"));
    made.push(h("a", { class: "button plain small", href: `/videos?accountId=${encodeURIComponent(account.id)}` }, "Videos"));
    if (account.paused) made.push(does("Resume", () => api(`${this.path}/resume`, { method: "POST" })));
    else made.push(does("Pause…", () => askForPause(name, `${this.path}/pause`)));
    if (operates(this.known) && account.state === "CLOSED_UNTIL") made.push(does("Open early", () => api(`${this.path}/open`, { method: "POST" })));
    made.push(
      does("Disconnect…", () =>
        ask({ title: `Disconnect ${name}?`, text: "Its tokens are taken back and forgotten. Its videos stay; those that wait are not posted until it is connected again.", act: "Disconnect", word: "disconnect", grave: true, send: () => api(this.path, { method: "DELETE" }) }),
      ),
    );
    return made;
  }
}
