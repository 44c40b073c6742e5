"use strict";

document.getElementById("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const said = document.getElementById("said");
  said.textContent = "";
  try {
    const response = await fetch("/api/session", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ key: event.target.elements.key.value.trim() }),
    });
    if (response.ok) {
      location.assign("/");
      return;
    }
    said.textContent = (await response.json()).detail;
  } catch (error) {
    said.textContent = "The server can't be reached.";
  }
  said.className = "bad";
});
