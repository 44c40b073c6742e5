// The transfer of one file, with its progress: what fetch can't tell.

// Resolves to the video, or throws an error with the answer's status and body.
export function transfer(item, fields, { stop }) {
  return new Promise((resolve, reject) => {
    const data = new FormData();
    for (const [name, value] of Object.entries(fields)) data.append(name, String(value));
    data.append("title", item.title.value);
    if (item.captions.files[0]) data.append("captions", item.captions.files[0]);
    data.append("video", item.file);
    const request = new XMLHttpRequest();
    const fail = (text, more = {}) => reject(Object.assign(new Error(text), more));
    request.upload.addEventListener("progress", (at) => at.lengthComputable && item.moves((at.loaded / at.total) * 100));
    request.addEventListener("load", () => {
      let body = {};
      try {
        body = JSON.parse(request.responseText);
      } catch (error) {
        // Said below.
      }
      if (request.status === 201) resolve(body.video);
      else fail(body.detail || `The upload failed (${request.status}).`, { status: request.status, body });
    });
    request.addEventListener("error", () => fail("The connection broke. Press the button to send it again."));
    request.addEventListener("abort", () => fail("Stopped.", { stopped: true }));
    stop(() => request.abort());
    // The same upload sent again after a broken connection is one video.
    item.key = item.key || crypto.getRandomValues(new Uint32Array(4)).join("-");
    request.open("POST", "/api/videos");
    request.setRequestHeader("Idempotency-Key", item.key);
    request.send(data);
  });
}
