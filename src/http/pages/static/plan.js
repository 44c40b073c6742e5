// What touches many videos at once is shown first: what would be done, what is refused and why, what it costs. Then the
// button does exactly that, or nothing, if things have changed meanwhile.

import { api, count, duration, h, many, moment, say } from "./common.js";

const SHOWN = 8;

function listed(rows) {
  const more = rows.length > SHOWN ? h("li", { class: "quiet" }, `and ${count(rows.length - SHOWN)} more`) : null;
  return h("ul", { class: "plain-list" }, rows.slice(0, SHOWN), more);
}

function facts(plan, done, { verb, label }) {
  const commands = Object.entries(plan.commands.now).map(([name, number]) => `${number} × ${name}`);
  if (plan.commands.later) commands.push(`${plan.commands.later} × XADD later, as there is room`);
  return [
    h("p", { class: "lead" }, done.length ? `${many(done.length, "video")} ${verb}.` : "Nothing would be done."),
    done.length ? listed(done.map((one) => h("li", {}, label(one)))) : null,
    plan.refused.length ? h("h3", {}, `${many(plan.refused.length, "refusal")}`) : null,
    plan.refused.length
      ? listed(plan.refused.map((one) => h("li", {}, h("span", { class: "mono" }, one.id), ` · ${one.reason.text}`)))
      : null,
    h(
      "dl",
      { class: "facts" },
      h("dt", {}, "Redis commands"),
      h("dd", {}, plan.commands.total ? `${plan.commands.total} (${commands.join(", ")})` : "none"),
      plan.lastStartAt ? [h("dt", {}, "Last one starts"), h("dd", {}, moment(plan.lastStartAt), ` · in ${duration(plan.takesSeconds * 1000)} under the limits`)] : null,
    ),
    plan.more ? h("p", { class: "quiet" }, "More matched than one act takes. Do it again for the rest.") : null,
  ];
}

// asked: { title, path, body, key, verb, label, act }; `key` names the list in the answer. Resolves to whether it was done.
export function agree(asked) {
  return new Promise((resolve) => {
    const body = h("div", { class: "plan" }, h("p", { class: "quiet" }, "Making the plan…"));
    const said = h("p", { role: "status" });
    const go = h("button", { type: "button", disabled: true, class: asked.grave ? "grave" : "" }, asked.act);
    const back = h("button", { type: "button", class: "plain" }, "Back");
    const dialog = h("dialog", { "aria-labelledby": "plan-head" }, h("h2", { id: "plan-head" }, asked.title), body, said, h("div", { class: "buttons" }, go, back));
    let mark = null;
    let done = false;
    const look = async () => {
      go.disabled = true;
      const plan = await api(asked.path, { json: { ...asked.body, dryRun: true } });
      const rows = plan[asked.key];
      mark = plan.plan;
      body.replaceChildren(...facts(plan, rows, asked).flat().filter(Boolean));
      go.textContent = rows.length ? `${asked.act} ${count(rows.length)}` : asked.act;
      go.disabled = rows.length === 0;
    };
    const failed = (error) => say(said, error.message, true);
    go.addEventListener("click", async () => {
      go.disabled = true;
      try {
        await api(asked.path, { json: { ...asked.body, plan: mark } });
        done = true;
        dialog.close();
      } catch (error) {
        failed(error);
        if (error.code === "plan_changed") {
          await look().then(() => say(said, "Things have changed meanwhile. This is the plan as it is now.", true), failed);
        }
      }
    });
    back.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(done);
    });
    document.body.append(dialog);
    dialog.showModal();
    look().catch(failed);
  });
}

// A question with a button, and a word to type where it can't be taken back. `fields` are more inputs.
export function ask({ title, text, act, word, grave, fields = [], send }) {
  return new Promise((resolve) => {
    const said = h("p", { role: "status" });
    const typed = word ? h("input", { autocomplete: "off", spellcheck: "false", name: "word" }) : null;
    const go = h("button", { type: "submit", class: grave ? "grave" : "", disabled: Boolean(word) }, act);
    const back = h("button", { type: "button", class: "plain" }, "Back");
    const form = h(
      "form",
      {},
      text ? h("p", {}, text) : null,
      fields,
      typed ? h("label", {}, "Type ", h("b", {}, word), " to go on", typed) : null,
      said,
      h("div", { class: "buttons" }, go, back),
    );
    const dialog = h("dialog", { "aria-labelledby": "ask-head" }, h("h2", { id: "ask-head" }, title), form);
    let done = false;
    if (typed) typed.addEventListener("input", () => (go.disabled = typed.value.trim() !== word));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      go.disabled = true;
      try {
        await send();
        done = true;
        dialog.close();
      } catch (error) {
        say(said, error.message, true);
        go.disabled = false;
      }
    });
    back.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(done);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

// Until when, and why.
export function askForPause(name, path) {
  const until = h("input", { type: "datetime-local", name: "until" });
  const reason = h("input", { name: "reason", maxlength: "500", autocomplete: "off" });
  return ask({
    title: `Pause ${name}`,
    text: "What runs finishes; nothing new begins. Waiting costs no Redis command.",
    act: "Pause",
    fields: [h("label", {}, "Until (empty: until somebody resumes it)", until), h("label", {}, "Why (shown wherever somebody asks)", reason)],
    send: () => api(path, { json: { reason: reason.value, ...(until.value ? { until: new Date(until.value).toISOString() } : {}) } }),
  });
}
