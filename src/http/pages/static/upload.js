// The upload form: whose account, which videos (each with a preview), how they are to be posted, and the transfer.

import { api, asUtc, byId, h, many, say } from "./common.js";
import { Picked, baseOf, isCaptions } from "./files.js";
import { PostOptions } from "./post.js";
import { transfer } from "./send.js";
import { session } from "./shell.js";
import { onTheirWay } from "./way.js";

const fields = byId("upload-form").elements;
let items = [];
let longest = null;
let asked = 0;
let abort = null;
let sending = false;

// Why it can't be sent yet; the button says the same.
function ready() {
  const open = items.filter((item) => !item.done);
  const why = open.length === 0 ? "Choose a video." : open.map((item) => item.missing(longest)).find(Boolean) || options.missing();
  byId("send").disabled = sending || Boolean(why);
  byId("send").title = why;
  byId("send").textContent = open.length > 1 ? `Upload and post ${many(open.length, "video")}` : "Upload and post";
  byId("missing").textContent = why;
}

// Who posts, and what TikTok lets them choose from. Asked anew for each account, and after a refusal.
async function creator() {
  const id = fields.accountId.value;
  const card = byId("creator");
  const said = byId("creator-said");
  const turn = (asked += 1);
  card.hidden = true;
  said.replaceChildren(...(id ? ["Asking TikTok about the account…"] : [h("a", { href: "/accounts" }, "Connect a TikTok account"), " first."]));
  said.classList.remove("bad");
  longest = null;
  options.offer(null);
  if (!id) return;
  try {
    const { creator: known } = await api(`/api/accounts/${encodeURIComponent(id)}/creator`);
    if (turn !== asked) return;
    byId("nickname").textContent = known.nickname;
    byId("username").textContent = known.username ? `@${known.username}` : "";
    byId("initial").textContent = [...known.nickname][0] || "?";
    picture(known.avatarUrl ? `/api/accounts/${encodeURIComponent(id)}/avatar` : "");
    card.hidden = false;
    said.textContent = "";
    longest = known.allowed.longestSeconds;
    options.offer(known.allowed);
  } catch (error) {
    if (turn === asked) say(said, `Nothing can be posted from here now: ${error.message}. Try again later.`, true);
  }
}

function picture(address) {
  byId("avatar").hidden = true;
  byId("initial").hidden = false;
  if (address) byId("avatar").src = address;
  else byId("avatar").removeAttribute("src");
}

// Captions that are called like a video go with it.
function choose(files) {
  const videos = files.filter((file) => !isCaptions(file));
  for (const file of videos) {
    const item = new Picked(file, { changed: ready, removed: remove });
    items.push(item);
    byId("files").append(item.node);
  }
  for (const file of files.filter(isCaptions)) {
    const item = items.find((one) => !one.done && baseOf(one.file) === baseOf(file)) || (items.length === 1 ? items[0] : null);
    if (item) item.caption(file);
    else say(byId("said"), `${file.name} is called like none of the videos.`, true);
  }
  ready();
}

function remove(item) {
  items = items.filter((one) => one !== item);
  ready();
}

function common() {
  const values = { accountId: fields.accountId.value, priority: fields.priority.value, ...options.values() };
  const at = asUtc(fields.publishAt.value);
  return at ? { ...values, publishAt: at } : values;
}

// One after the other: two at once would each take twice as long.
async function send(event) {
  event.preventDefault();
  sending = true;
  let stopped = false;
  let uploaded = 0;
  byId("stop").hidden = false;
  byId("stop").onclick = () => {
    stopped = true;
    abort?.();
  };
  const values = common();
  for (const item of items.filter((one) => !one.done)) {
    if (stopped) break;
    item.rest(true);
    ready();
    item.moves(0);
    try {
      await transfer(item, values, { stop: (act) => (abort = act) });
      item.done = true;
      uploaded += 1;
      item.forget();
      items = items.filter((one) => one !== item);
      look();
    } catch (error) {
      // A clear refusal: what is sent next is another upload.
      if (error.status && error.status < 500) item.key = null;
      item.bar.hidden = true;
      item.tell(error.message, true);
      item.rest(false);
      if (error.body?.allowed) creator();
    }
  }
  sending = false;
  abort = null;
  byId("stop").hidden = true;
  if (uploaded) say(byId("said"), `${many(uploaded, "video")} uploaded. Once posted, it may take a few minutes until TikTok shows it in the profile.`);
  if (!items.length) options.offer(options.allowed);
  ready();
}

const options = new PostOptions(byId("options"), ready);
const look = onTheirWay();
const drop = byId("drop");

byId("upload-form").addEventListener("submit", send);
fields.accountId.addEventListener("change", creator);
fields.video.addEventListener("change", () => {
  choose([...fields.video.files]);
  fields.video.value = "";
});
for (const name of ["dragenter", "dragover"]) {
  drop.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
}
for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  choose([...event.dataTransfer.files]);
});
addEventListener("beforeunload", (event) => sending && event.preventDefault());
byId("avatar").addEventListener("load", () => {
  byId("avatar").hidden = false;
  byId("initial").hidden = true;
});
ready();
session
  .then(() => api("/api/accounts"))
  .then(({ accounts }) => {
    const name = (account) => `${account.displayName || account.id}${account.state === "RECONNECT" ? " (connect again)" : ""}`;
    fields.accountId.append(...accounts.map((account) => h("option", { value: account.id }, name(account))));
    return creator();
  })
  .catch((error) => say(byId("creator-said"), error.message, true));
