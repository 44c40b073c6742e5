// The bar on top of every page: where one can go, and who one is.

import { api, byId, h } from "./common.js";

const PAGES = [
  ["/", "Upload", ["creator", "operator"]],
  ["/videos", "Videos", ["creator", "operator", "viewer"]],
  ["/streams", "Streams", ["operator", "viewer"]],
  ["/accounts", "Accounts", ["creator", "operator"]],
  ["/budget", "Budget", ["operator", "viewer"]],
];

const here = location.pathname;
const isHere = (path) => (path === "/" ? here === "/" : here === path || here.startsWith(`${path}/`));

// { user, role }; everything else on a page may wait for it.
export const session = api("/api/session").then((known) => {
  const links = PAGES.filter(([, , roles]) => roles.includes(known.role)).map(([path, name]) =>
    h("a", { href: path, "aria-current": isHere(path) ? "page" : null }, name),
  );
  byId("nav").append(...links);
  const out = h("button", { type: "button", class: "plain small" }, "Sign out");
  out.addEventListener("click", async () => {
    await api("/api/session", { method: "DELETE" }).catch(() => {});
    location.assign("/sign-in");
  });
  byId("me").append(h("span", { class: "quiet" }, `${known.user} · ${known.role}`), out);
  document.body.dataset.role = known.role;
  return known;
});

export const mayChange = (known) => known.role !== "viewer";
export const operates = (known) => known.role === "operator";
