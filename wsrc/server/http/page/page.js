// SPDX-License-Identifier: Apache-2.0
// The page: follows the events of the server, and shows one view at a time, which the URL names.

import { ofCards, drain, undrain } from "./actions.js";
import { BASE, ask, get, whenStranger } from "./api.js";
import { CardPage } from "./card.js";
import * as dialog from "./dialog.js";
import { byId, make, setData, setHidden, setText, tell } from "./dom.js";
import { CardRow, List } from "./list.js";
import { Activity } from "./plot.js";
import { Reservations } from "./reservations.js";
import { Store, leasesOf, tagsOf } from "./store.js";

const AGAIN_MS = 2000; // after which a stream that has ended is begun anew
const STILL_HERE_MS = 600_000; // how often the server is told that the page is in use
const HIDDEN_MS = 30_000; // after which a tab that nobody sees follows no events: a browser has six connections

let me = null;
let stream = null;
let again = 0;
let view = null;

const store = new Store(changed);
const act = (what, number) => {
  const reader = store.of(number);
  if (reader) ofCards[what](reader);
};
const list = new List(byId("list"), byId("rows"), store, (number) => new CardRow(number, act));

// Events

function follow() {
  clearTimeout(again);
  resting = false;
  stream?.close();
  stream = new EventSource(`${BASE}/events`);
  stream.addEventListener("snapshot", (event) => {
    live("live", "Live");
    store.snapshot(JSON.parse(event.data));
  });
  stream.addEventListener("reader", (event) => {
    live("live", "Live");
    store.change(JSON.parse(event.data));
  });
  stream.addEventListener("waiting", (event) => store.wait(JSON.parse(event.data).any));
  stream.addEventListener("reservations", () => view?.reservations?.look());
  stream.addEventListener("open", () => {
    live("live", "Live");
    view?.reservations?.look();
    store.wait(0); // a stream tells nothing of those who wait for any card as long as nobody does
  });
  stream.addEventListener("end", (event) => lost(JSON.parse(event.data).detail));
  stream.addEventListener("lost", () => lost("This browser was too slow."));
  stream.addEventListener("error", () => {
    live("lost", "Lost; comes back by itself");
    store.broken();
    if (stream.readyState === EventSource.CLOSED) later();
  });
}

function lost(why) {
  live("lost", why);
  store.broken();
}

let hiding = 0;
let resting = false;

function rest() {
  if (me === null) return;
  resting = true;
  clearTimeout(again);
  stream?.close();
  store.broken();
  live("lost", "Rests while nobody looks");
}

function later() {
  clearTimeout(again);
  again = setTimeout(enter, AGAIN_MS);
}

function live(state, text) {
  setData(byId("live"), "state", state);
  setText(byId("live"), text);
}

function stillHere() {
  if (me !== null && !document.hidden) get("/me").catch(() => {});
}

// What there is

let soon = 0;

function changed(numbers) {
  list.changed(numbers);
  view?.reservations?.changed(numbers);
  soon ||= requestAnimationFrame(() => {
    soon = 0;
    const readers = store.shown.length === store.size ? `${store.size} readers` : `${store.shown.length} of ${store.size} readers`;
    setText(byId("count"), store.anyone ? `${readers} · ${store.anyone} waiting for any card` : readers);
    setHidden(byId("none"), store.shown.length > 0);
    tags();
    if (view?.name === "hosts") hosts();
    if (view?.name === "card") shownCard();
  });
}

let offered = "";

function tags() {
  const all = new Set();
  for (const reader of store.all) for (const tag of tagsOf(reader)) all.add(tag);
  const wanted = [...all].sort().slice(0, 500);
  if (wanted.join("\n") === offered) return;
  offered = wanted.join("\n");
  const chosen = byId("tag").value;
  if (chosen && !all.has(chosen)) wanted.push(chosen);
  byId("tag").replaceChildren(make("option", { value: "", textContent: "any tag" }), ...wanted.map((tag) => make("option", { value: tag, textContent: tag })));
  byId("tag").value = chosen;
}

const hostRows = new Map();

function hosts() {
  const found = new Map();
  for (const reader of store.all) {
    const host = found.get(reader.host) ?? { readers: 0, cards: 0, held: 0, draining: false };
    host.readers += 1;
    host.cards += reader.card ? 1 : 0;
    host.held += leasesOf(reader).length ? 1 : 0;
    host.draining ||= reader.draining ?? false;
    found.set(reader.host, host);
  }
  for (const [name, row] of hostRows) if (!found.has(name)) { row.element.remove(); hostRows.delete(name); }
  for (const name of [...found.keys()].sort()) {
    let row = hostRows.get(name);
    if (!row) {
      const text = make("span");
      const button = make("button", { type: "button", on: { click: () => (row.draining ? undrain : drain)(name) } });
      row = { text, button, element: make("li", {}, make("b", { textContent: name }), text, button) };
      hostRows.set(name, row);
      byId("host-rows").append(row.element);
    }
    const { readers, cards, held, draining } = found.get(name);
    row.draining = draining;
    setText(row.text, `${readers} readers, ${cards} cards, ${held} held${draining ? "; drained" : ""}`);
    setText(row.button, draining ? "End draining" : "Drain");
    setHidden(row.button, !me?.operator);
  }
}

// Views

function show() {
  const [, name = "cards", number = ""] = location.hash.split("/");
  view?.close?.();
  view = { name: me === null ? "login" : ["cards", "hosts", "reservations", "card", "activity"].includes(name) ? name : "cards", number: Number(number) };
  for (const section of document.querySelectorAll("main > section")) setHidden(section, section.id !== view.name);
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#/${view.name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (view.name === "hosts") hosts();
  if (view.name === "card") shownCard();
  if (view.name === "activity") {
    const activity = new Activity(byId("activity"));
    view.close = () => activity.close();
  }
  if (view.name === "reservations") {
    const reservations = new Reservations(byId("reservations"), store, me.operator);
    view.reservations = reservations;
    view.close = () => reservations.close();
  }
  if (view.name === "cards") list.changed([]);
}

function shownCard() {
  const reader = store.of(view.number);
  if (view.page) view.page.show(reader, store.anyone);
  else if (reader) {
    view.page = new CardPage(byId("card"), reader, act, me.operator, store.anyone);
    view.close = () => view.page.close();
  } else if (store.size) {
    byId("card").replaceChildren(make("p", { textContent: "There is no such reader any more." }), make("a", { href: "#/cards", textContent: "← All cards" }));
  }
}

// Who

async function enter() {
  try {
    me = await get("/me");
  } catch (problem) {
    if (problem.status !== 401) {
      live("lost", problem.message);
      later();
      return;
    }
    me = null;
  }
  setText(byId("who"), me?.principal ?? "");
  setHidden(byId("logout"), !me?.logged_in);
  setHidden(byId("to-activity"), !me?.operator);
  if (me === null) return stranger();
  if (view === null || view.name === "login") show();
  follow();
}

function stranger() {
  me = null;
  stream?.close();
  stream = null;
  clearTimeout(again);
  live("lost", "Not logged in");
  setText(byId("who"), "");
  setHidden(byId("logout"), true);
  if (view?.name !== "login") show();
  byId("token").focus();
}

async function login(event) {
  event.preventDefault();
  const token = byId("token").value.trim();
  byId("token").value = "";
  setText(byId("login-error"), "");
  try {
    if (!/^[!-~]+$/.test(token)) throw new Error("A token has letters, digits and signs, and no space.");
    await ask("POST", "/login", undefined, { Authorization: `Bearer ${token}` });
  } catch (problem) {
    setText(byId("login-error"), problem.message);
    return;
  }
  await enter();
}

async function logout() {
  try {
    await ask("POST", "/logout");
  } catch (problem) {
    tell(problem.message);
    return;
  }
  location.reload();
}

dialog.begin();
whenStranger(stranger);
byId("login-form").addEventListener("submit", login);
byId("logout").addEventListener("click", logout);
byId("search").addEventListener("input", () => store.lookFor({ text: byId("search").value }));
byId("only").addEventListener("change", () => store.lookFor({ only: byId("only").value }));
byId("tag").addEventListener("change", () => store.lookFor({ tag: byId("tag").value }));
byId("search").addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown") byId("list").dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", cancelable: true }));
});
addEventListener("hashchange", show);
addEventListener("pagehide", () => view?.close?.());
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiding);
  if (document.hidden) hiding = setTimeout(rest, HIDDEN_MS);
  else if (resting) enter();
});
addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea, select") || view?.name !== "cards") return;
  event.preventDefault();
  byId("search").focus();
});
enter();
setInterval(stillHere, STILL_HERE_MS);
