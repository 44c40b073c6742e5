// An account's brand: what its videos are given, with a frame that FFmpeg draws from what stands in the form.

import { api, byId, h, say } from "./common.js";
import { mayChange, session } from "./shell.js";

const id = decodeURIComponent(location.pathname.split("/").pop());
const path = `/api/accounts/${encodeURIComponent(id)}`;
const form = byId("brand");
const fields = form.elements;
const EFFECTS = ["fade", "grade", "vertical", "loudness"];
const PAUSE = 350;

let kept = null;
let image = false;
let timer = null;
let asked = 0;
let shown = null;

function fill(brand) {
  const mark = brand.watermark;
  image = image || Boolean(mark);
  fields.watermark.checked = Boolean(mark);
  fields.corner.value = mark ? mark.corner : "bottomRight";
  fields.width.value = mark ? mark.width : 0.2;
  fields.opacity.value = mark ? mark.opacity : 0.8;
  const captions = brand.captions;
  fields.captions.checked = Boolean(captions);
  fields.font.value = captions ? captions.font : "sansBold";
  fields.place.value = captions ? captions.place : "bottom";
  fields.color.value = (captions ? captions.color : "#FFFFFF").toLowerCase();
  // Points are pixels on a picture whose shorter side is 1080; the slider speaks of shares of an upright one's height.
  fields.size.value = !captions ? 0.045 : captions.size >= 8 ? captions.size / 1920 : captions.size;
  for (const effect of EFFECTS) fields[effect].checked = (brand.effects || []).includes(effect);
  ready();
}

function read() {
  const watermark = fields.watermark.checked ? { corner: fields.corner.value, width: Number(fields.width.value), opacity: Number(fields.opacity.value) } : null;
  const captions = fields.captions.checked ? { font: fields.font.value, size: Number(fields.size.value), color: fields.color.value.toUpperCase(), place: fields.place.value } : null;
  return { watermark, captions, effects: EFFECTS.filter((effect) => fields[effect].checked) };
}

function ready() {
  const share = (value) => `${Math.round(value * 1000) / 10} %`;
  fields.widthShown.textContent = share(fields.width.value);
  fields.opacityShown.textContent = share(fields.opacity.value);
  fields.sizeShown.textContent = share(fields.size.value);
  fields.watermark.disabled = !image;
  byId("no-image").hidden = image;
  byId("watermark-parts").hidden = !fields.watermark.checked;
  byId("caption-parts").hidden = !fields.captions.checked;
}

async function preview() {
  const turn = (asked += 1);
  const shape = document.querySelector("[name=shape]:checked").value;
  say(byId("preview-said"), "Drawing…");
  try {
    const frame = await api(`${path}/brand/preview?shape=${shape}`, { json: read() });
    if (turn !== asked) return;
    if (shown) URL.revokeObjectURL(shown);
    shown = URL.createObjectURL(frame);
    byId("frame").replaceChildren(h("img", { src: shown, alt: "A frame with this brand" }));
    say(byId("preview-said"), "");
  } catch (error) {
    if (turn === asked) say(byId("preview-said"), error.message, true);
  }
}

function soon() {
  ready();
  say(byId("kept"), "");
  clearTimeout(timer);
  timer = setTimeout(preview, PAUSE);
}

async function upload() {
  const file = fields.image.files[0];
  if (!file) return;
  try {
    await api(`${path}/brand/watermark`, { method: "PUT", headers: { "content-type": file.type || "application/octet-stream" }, body: file });
    image = true;
    fields.watermark.checked = true;
    soon();
  } catch (error) {
    fields.image.value = "";
    say(byId("kept"), error.message, true);
  }
}

form.addEventListener("input", (event) => event.target !== fields.image && soon());
fields.image.addEventListener("change", upload);
byId("shape").addEventListener("change", preview);
byId("undo").addEventListener("click", () => {
  fill(kept);
  preview();
});
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  byId("keep").disabled = true;
  try {
    kept = await api(`${path}/brand`, { method: "PUT", json: read() });
    say(byId("kept"), "Kept. Videos that are edited from now on get it.");
  } catch (error) {
    say(byId("kept"), error.message, true);
  } finally {
    byId("keep").disabled = false;
  }
});

session
  .then(async (known) => {
    const [{ account }, brand] = await Promise.all([api(path), api(`${path}/brand`)]);
    const name = account.displayName || account.id;
    document.title = `Brand of ${name} · SubiteYa`;
    byId("title").textContent = `Brand of ${name}`;
    if (!mayChange(known)) throw new Error("A viewer's key changes nothing.");
    image = account.hasWatermark;
    kept = brand;
    fill(brand);
    byId("parts").hidden = false;
    preview();
  })
  .catch((error) => say(byId("said"), error.message, true));
