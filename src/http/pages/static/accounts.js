// TikTok accounts: how each stands, when it may post next, and what can be done about it.

import { api, byId, repeat, say } from "./common.js";
import { AccountCard } from "./account-card.js";
import { mayChange, session } from "./shell.js";

const cards = new Map();
let known = null;

async function look() {
  try {
    const { accounts } = await api("/api/accounts");
    const ids = accounts.map((account) => account.id);
    if (ids.join() !== [...cards.keys()].join()) {
      cards.clear();
      for (const account of accounts) cards.set(account.id, new AccountCard(account.id, known, byId("said"), look));
      byId("accounts").replaceChildren(...[...cards.values()].map((card) => card.node));
    }
    accounts.forEach((account) => cards.get(account.id).show(account));
    byId("empty").hidden = accounts.length > 0;
    say(byId("said"), "");
  } catch (error) {
    say(byId("said"), error.message, true);
  }
  return 10000;
}

session.then((who) => {
  known = who;
  byId("connect").hidden = !mayChange(who);
  repeat(look);
});
