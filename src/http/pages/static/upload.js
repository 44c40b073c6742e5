"use strict";
// The upload form: whose account, which video (with a preview), how it is to be posted, and the transfer.

const fields = byId("upload-form").elements;
let longest = null;
let asked = 0;
let preview = null;
let key = null;
let sending = false;
let options = null;

// Why it can't be sent yet; the button says the same.
function ready() {
  if (!options) return;
  const player = byId("preview");
  const tooLong = longest && !player.hidden && player.duration > longest;
  const why = tooLong
    ? `The video has ${Math.ceil(player.duration)} s; this account may post ${longest} s. Choose a shorter one.`
    : fields.video.files[0] ? options.missing() : "Choose a video.";
  byId("send").disabled = sending || Boolean(why);
  byId("send").title = why;
  byId("missing").textContent = why;
}

// Who posts, and what TikTok lets them choose from. Asked anew for each account, and when the page is looked at again.
async function creator() {
  const id = fields.accountId.value;
  const card = byId("creator");
  const said = byId("creator-said");
  const turn = (asked += 1);
  card.hidden = true;
  said.textContent = id ? "Asking TikTok about the account…" : "Connect a TikTok account first.";
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
    if (turn !== asked) return;
    said.textContent = `Nothing can be posted from here now: ${error.message}. Try again later.`;
    said.classList.add("bad");
  }
}

function picture(address) {
  const shown = byId("avatar");
  shown.hidden = true;
  byId("initial").hidden = false;
  if (address) shown.src = address;
  else shown.removeAttribute("src");
}

function choose() {
  const file = fields.video.files[0];
  const player = byId("preview");
  if (preview) URL.revokeObjectURL(preview);
  preview = file ? URL.createObjectURL(file) : null;
  player.hidden = !file;
  byId("no-preview").hidden = true;
  if (file) player.src = preview;
  else player.removeAttribute("src");
  ready();
}

function form() {
  const data = new FormData();
  for (const name of ["accountId", "title", "priority"]) data.append(name, fields[name].value);
  for (const [name, value] of Object.entries(options.values())) data.append(name, String(value));
  if (fields.publishAt.value) data.append("publishAt", new Date(fields.publishAt.value).toISOString());
  if (fields.captions.files[0]) data.append("captions", fields.captions.files[0]);
  data.append("video", fields.video.files[0]);
  return data;
}

function send(event) {
  event.preventDefault();
  const bar = byId("transfer");
  const request = new XMLHttpRequest();
  const done = (text, bad) => {
    sending = false;
    say(text, bad);
    byId("stop").hidden = true;
    bar.hidden = true;
    ready();
  };
  request.upload.addEventListener("progress", (at) => {
    if (!at.lengthComputable) return;
    bar.value = (at.loaded / at.total) * 100;
    say(at.loaded < at.total ? `${Math.floor(bar.value)} %` : "Looking at it…");
  });
  request.addEventListener("load", () => {
    let body = {};
    try {
      body = JSON.parse(request.responseText);
    } catch (error) {
      // Said below.
    }
    if (request.status === 201) {
      key = null;
      const account = fields.accountId.value;
      byId("upload-form").reset();
      fields.accountId.value = account;
      choose();
      options.offer(options.allowed);
      done("Uploaded. Once it is posted, it may take a few minutes until TikTok shows it in the profile.");
      follow();
    } else {
      // A clear refusal: what is sent next is another upload.
      if (request.status < 500) key = null;
      if (body.allowed) creator();
      done(body.detail || `The upload failed (${request.status}).`, true);
    }
  });
  request.addEventListener("error", () => done("The connection broke. Press the button to send it again.", true));
  request.addEventListener("abort", () => done("Stopped."));
  byId("stop").onclick = () => request.abort();
  // The same upload sent again after a broken connection is one video.
  key = key || crypto.getRandomValues(new Uint32Array(4)).join("-");
  request.open("POST", "/api/videos");
  request.setRequestHeader("Idempotency-Key", key);
  sending = true;
  ready();
  bar.value = 0;
  bar.hidden = false;
  byId("stop").hidden = false;
  request.send(form());
}

byId("upload-form").addEventListener("submit", send);
byId("upload-form").addEventListener("input", () => {
  key = null;
});
fields.accountId.addEventListener("change", creator);
fields.video.addEventListener("change", choose);
byId("preview").addEventListener("loadedmetadata", ready);
byId("preview").addEventListener("error", () => {
  if (!fields.video.files[0]) return;
  byId("preview").hidden = true;
  byId("no-preview").hidden = false;
  ready();
});
byId("avatar").addEventListener("load", () => {
  byId("avatar").hidden = false;
  byId("initial").hidden = true;
});
options = new PostOptions(byId("options"), ready);
ready();
