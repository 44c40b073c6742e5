// What every page uses: making elements, asking the API, and writing times and amounts.
// What a user wrote is only ever set as text: never as HTML, never as an address.

export const byId = (id) => document.getElementById(id);

// h("p", { class: "quiet", onclick: f }, "text", child, …); a child that is null or false is left out.
export function h(name, given = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "dataset") Object.assign(made.dataset, value);
    else if (["value", "checked", "disabled", "hidden", "selected", "required", "max"].includes(key)) made[key] = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

export const query = (given) => {
  const kept = Object.entries(given).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return kept.length ? `?${new URLSearchParams(kept)}` : "";
};

// An answer that is no success becomes an error with the server's sentence, its code and its body.
export async function api(path, options = {}) {
  const { json, ...rest } = options;
  if (json !== undefined) {
    rest.method = rest.method || "POST";
    rest.headers = { "content-type": "application/json" };
    rest.body = JSON.stringify(json);
  }
  let response;
  try {
    response = await fetch(path, rest);
  } catch (error) {
    throw new Error("The server can't be reached.");
  }
  if (response.status === 401) {
    location.assign("/sign-in");
    throw new Error("You are signed out.");
  }
  if (response.status === 204) return null;
  const kind = response.headers.get("content-type") || "";
  if (response.ok && !kind.includes("json")) return response.blob();
  const body = await response.json().catch(() => ({}));
  if (!response.ok) {
    const error = new Error(body.detail || `The server answered ${response.status}.`);
    throw Object.assign(error, { status: response.status, code: body.code, body });
  }
  return body;
}

// A line that is read out when it changes.
export function say(place, text, bad = false) {
  place.textContent = text;
  place.classList.toggle("bad", bad);
}

// Runs it on a button's press: the button rests meanwhile, and what goes wrong is said.
export function press(button, said, act) {
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      say(said, "");
      await act();
    } catch (error) {
      say(said, error.message, true);
    } finally {
      button.disabled = false;
    }
  });
}

const CLOCK = { hour: "2-digit", minute: "2-digit" };
const DAY = 24 * 3600 * 1000;

export function when(text) {
  const at = new Date(text);
  const near = Math.abs(at - Date.now()) < DAY && at.getDate() === new Date().getDate();
  return near ? at.toLocaleTimeString([], { ...CLOCK, second: "2-digit" }) : at.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

// A time whose full form shows when it is pointed at.
export function moment(text, className) {
  return h("time", { datetime: text, title: new Date(text).toLocaleString(), class: className }, when(text));
}

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

// The two largest units: "2 h 5 min".
export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 10000) return `${(ms / 1000).toFixed(1)} s`;
  let rest = Math.round(ms / 1000);
  const parts = [];
  for (const [size, unit] of UNITS) {
    const number = Math.floor(rest / size);
    rest -= number * size;
    if (number > 0) parts.push(`${number} ${unit}`);
  }
  return parts.slice(0, 2).join(" ");
}

export const count = (number) => Number(number).toLocaleString("en");
export const many = (number, one, more = `${one}s`) => `${count(number)} ${number === 1 ? one : more}`;

export function size(bytes) {
  if (!bytes) return "–";
  const [value, unit] = bytes >= 1e9 ? [bytes / 1e9, "GB"] : bytes >= 1e6 ? [bytes / 1e6, "MB"] : [bytes / 1e3, "kB"];
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}

// A local `datetime-local` value as the API wants it; null for none.
export const asUtc = (local) => (local ? new Date(local).toISOString() : null);

// Asks again and again while the page is looked at. `look` answers how many milliseconds until the next time.
export function repeat(look) {
  let timer = null;
  const turn = async () => {
    clearTimeout(timer);
    const pause = document.hidden ? 5000 : await look();
    clearTimeout(timer);
    timer = setTimeout(turn, pause);
  };
  document.addEventListener("visibilitychange", () => document.hidden || turn());
  turn();
  return turn;
}
