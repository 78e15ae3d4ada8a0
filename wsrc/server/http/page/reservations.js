// SPDX-License-Identifier: Apache-2.0
// Which cards are kept for a time to come: for whom, from when to when, and given up by a click.

import { cancel } from "./actions.js";
import { get } from "./api.js";
import { make, setData, setHidden, setText, when } from "./dom.js";
import { Line, List } from "./list.js";

const LOOK_MS = 1000; // between two looks at all reservations, which are made when one is another

const KINDS = { ready: "free", taken: "busy", held: "wrong", away: "wrong", gave_way: "wrong" };

// "iccid 8988…" as a person writes it; a reader has its name.
const cardOf = ({ card, host, reader }) => {
  const at = card.indexOf(" ");
  const kind = card.slice(0, at);
  return kind === "reader" ? reader && host ? `${host} · ${reader}` : card.slice(at + 1) : card.slice(at + 1).toUpperCase();
};

class Row extends Line {
  constructor(number, operator, numberOf) {
    super(number);
    this.operator = operator;
    this.numberOf = numberOf;
    this.name = make("a", { className: "name" });
    this.times = make("span", { className: "where" });
    this.state = make("span", { className: "state" });
    this.holder = make("span", { className: "holder" });
    this.where = make("span", { className: "tags" });
    this.wish = make("span", { className: "note" });
    this.button = make("button", { type: "button", textContent: "Cancel", on: { click: () => cancel(this.shown) } });
    this.has(this.name, this.times, this.state, this.holder, this.where, this.wish, make("span", { className: "acts" }, this.button));
  }

  show(booking) {
    this.shown = booking;
    const { number, holder, own, state, begins, ends, host, reader, priority, any, wish } = booking;
    const name = cardOf(booking);
    setText(this.name, name);
    const card = this.numberOf(booking);
    this.name.tabIndex = card === undefined ? -1 : 0;
    if (card === undefined) this.name.removeAttribute("href");
    else if (this.name.getAttribute("href") !== `#/card/${card}`) this.name.setAttribute("href", `#/card/${card}`);
    setText(this.where, host ? `${host} · ${reader}` : "not here");
    setText(this.state, state.replaceAll("_", " "));
    setData(this.state, "kind", KINDS[state] ?? "");
    setText(this.holder, own ? `${holder} (you)` : holder ?? "");
    setText(this.times, `${when(begins)} – ${when(ends)}`);
    setText(this.wish, [any ? wish ?? "any that matches" : "", priority ? `priority ${priority}` : ""].filter(Boolean).join(" · "));
    setHidden(this.button, !(own || this.operator));
    this.button.setAttribute("aria-label", `Cancel reservation ${number} of ${name}`);
  }
}

export class Reservations {
  #list;
  #store;
  #timer = 0;
  #looks = false;
  #again = false;
  #over = false;
  shown = [];

  // `store` has the readers as they are now.
  constructor(section, store, operator) {
    this.#store = store;
    this.count = make("p", { className: "quiet", role: "status", textContent: "Looking …" });
    const rows = make("div", { className: "rows" });
    const box = make("div", { className: "list", role: "list", tabIndex: -1, aria: { label: "Reservations" } }, rows);
    section.replaceChildren(make("div", { className: "tools" }, this.count), box);
    this.section = section;
    this.#list = new List(box, rows, this, (number) => new Row(number, operator, (booking) => this.#readerOf(booking)?.number));
    this.look();
  }

  close() {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#list.close();
    this.section.replaceChildren();
  }

  // Looks at all of them, and once more if that is asked for meanwhile.
  look() {
    if (this.#timer || this.#looks) this.#again = true;
    else this.#look();
  }

  // Looks where what a reader is doing is part of a reservation.
  changed(numbers) {
    if (numbers === null || numbers.some((number) => this.#concerns(this.#store.of(number)))) this.look();
  }

  #concerns(reader) {
    if (reader === undefined) return this.shown.length > 0;
    const { iccid, eids } = reader.card ?? {};
    const names = [iccid && `iccid ${iccid.toLowerCase().replace(/f+$/, "")}`, ...(eids ?? []).map((eid) => `eid ${eid.toLowerCase()}`)];
    return this.shown.some((each) => names.includes(each.card) || (each.host === reader.host && each.reader === reader.name));
  }

  #readerOf({ host, reader }) {
    return host ? this.#store.shownAs(host, reader) : undefined;
  }

  async #look() {
    this.#looks = true;
    try {
      const found = new Map();
      for (let after = 0; after !== undefined && !this.#over; ) {
        const { reservations, next } = await get(`/reservations?after=${after}`);
        for (const each of reservations) found.set(each.number, each);
        after = next;
      }
      if (!this.#over) this.#take(found);
    } catch (problem) {
      setText(this.count, problem.message);
    } finally {
      this.#looks = false;
    }
    if (this.#over) return;
    this.#timer = setTimeout(() => {
      this.#timer = 0;
      if (!this.#again) return;
      this.#again = false;
      this.#look();
    }, LOOK_MS);
  }

  #take(found) {
    this.shown = [...found.values()].sort((a, b) => a.begins.localeCompare(b.begins) || a.number - b.number);
    setText(this.count, found.size ? `${found.size} ${found.size === 1 ? "reservation" : "reservations"}` : "No card is reserved.");
    this.#list.changed(null);
  }
}
