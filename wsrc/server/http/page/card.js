// SPDX-License-Identifier: Apache-2.0
// The page of one card: what is known of it, who has it and waits for it, its history, a console.

import { get } from "./api.js";
import { Console } from "./console.js";
import { make, setHidden, setText, when } from "./dom.js";
import { leasesOf, nameOf, placeOf, tagsOf } from "./store.js";

const LOOK_MS = 1000; // between two looks at the queue of the card, which are made when something of it changes

export class CardPage {
  #facts = new Map();
  #timer = 0;
  #seen = "";
  #atr = null;
  #console = null;
  #insertion = null;
  #over = false;

  constructor(section, reader, act, operator, anyone) {
    this.section = section;
    this.reader = reader;
    this.title = make("h2", { tabIndex: -1 });
    this.list = make("dl", { className: "facts" });
    const button = (what, textContent) => make("button", { type: "button", textContent, on: { click: () => act(what, reader.number) } });
    this.back = button("revoke", "Take back");
    this.queue = make("ol", { className: "log", id: "queue" });
    this.history = make("ol", { className: "log", id: "history" });
    this.gone = make("p", { role: "alert" });
    const panel = make("div", { className: "panel" },
      make("a", { href: "#/cards", textContent: "← All cards" }), this.title, this.gone,
      make("div", { className: "buttons" }, this.back, button("tag", "Tags"), button("comment", "Comment")),
      this.list, make("h3", { textContent: "Queue" }), this.queue);
    this.consoleBox = make("div");
    panel.append(this.consoleBox);
    if (operator) panel.append(make("h3", { textContent: "History" }), this.history);
    section.replaceChildren(panel);
    this.operator = operator;
    this.show(reader, anyone);
    if (operator) this.#past();
    this.title.focus();
  }

  close() {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#console?.close();
    this.section.replaceChildren();
  }

  // `anyone` is how many wait for any card.
  show(reader, anyone) {
    setText(this.gone, reader ? "" : "The reader is gone.");
    if (!reader) return;
    this.reader = reader;
    const { card } = reader;
    const leases = leasesOf(reader);
    setText(this.title, nameOf(reader));
    this.#fact("State", [card?.state ?? reader.state, reader.draining ? "its host is drained" : "", reader.reserved ? "reserved" : ""].filter(Boolean).join(", "));
    this.#fact("Held by", leases.map((each) => `${each.holder} since ${when(each.since)}`).join("; "));
    this.#fact("ICCID", card?.iccid);
    this.#fact("EID", card?.eids?.join(", "));
    this.#fact("Label", card?.label);
    this.#fact("Host", reader.host);
    this.#fact("Reader", reader.name);
    this.#fact("Protocol", card?.protocol);
    this.#fact("Tags", tagsOf(reader).join("  "));
    this.#fact("Comment", reader.comment);
    this.#fact("ATR", card?.atr);
    if (card?.atr !== this.#atr) this.#readAtr(card?.atr);
    setHidden(this.back, leases.length === 0);
    const seen = JSON.stringify([leases, reader.waiting, anyone]);
    if (seen !== this.#seen) {
      const first = !this.#seen;
      this.#seen = seen;
      this.#timer ||= setTimeout(() => this.#look(), first ? 0 : LOOK_MS);
    }
    const one = card ? card.iccid ?? card.atr ?? "" : null;
    if (one !== this.#insertion) {
      this.#insertion = one;
      this.#console?.close();
      this.#console = card ? new Console(reader) : null;
      this.consoleBox.replaceChildren(...(this.#console ? [this.#console.element] : []));
    }
  }

  #fact(name, text) {
    let found = this.#facts.get(name);
    if (found === undefined) {
      const value = make("dd", { className: /ICCID|EID|ATR/.test(name) ? "mono" : "" });
      found = { term: make("dt", { textContent: name }), value };
      this.#facts.set(name, found);
      this.list.append(found.term, found.value);
    }
    setText(found.value, text || "");
    setHidden(found.term, !text);
    setHidden(found.value, !text);
  }

  async #readAtr(atr) {
    this.#atr = atr;
    this.#fact("ATR says", "");
    if (!atr) return;
    try {
      const { protocols, historical, uicc, euicc } = await get(`/atr?atr=${encodeURIComponent(atr)}`);
      if (this.#atr !== atr) return;
      const kind = euicc ? "an eUICC" : uicc ? "a UICC" : "no UICC";
      const digits = historical.match(/../g)?.map((each) => parseInt(each, 16)) ?? [];
      const text = digits.length && digits.every((each) => each > 31 && each < 127) ? ` (${String.fromCharCode(...digits)})` : "";
      this.#fact("ATR says", `${kind}; ${protocols.join(", ")}${historical ? `; historical bytes ${historical}${text}` : ""}`);
    } catch (problem) {
      this.#fact("ATR says", problem.message);
    }
  }

  async #look() {
    this.#timer = 0;
    try {
      const { uses } = await get(`/uses?reader=${encodeURIComponent(this.reader.reader)}`);
      if (!this.#over) this.#queue(uses.find((each) => placeOf(each.card) === placeOf(this.reader)));
    } catch {
      this.#seen = ""; // looked at again with the next change
    }
  }

  #queue(use) {
    const named = (use?.waiters ?? []).map((each) => `${each.name}, since ${when(each.since)}`);
    const rest = (use?.waiting ?? 0) - named.length;
    if (rest > 0) named.push(`${rest}${named.length ? " more" : ""} waiting`);
    if (use?.lent) named.unshift(`${use.lent}, to whom it is lent`);
    if (!named.length) named.push("Nobody waits.");
    if (named.join("\n") === [...this.queue.children].map((each) => each.textContent).join("\n")) return;
    this.queue.replaceChildren(...named.map((textContent) => make("li", { textContent })));
  }

  async #past() {
    const name = this.reader.card?.iccid ?? this.reader.card?.eids?.[0] ?? this.reader.reader;
    let said;
    try {
      const { lines } = await get(`/audit?limit=100&card=${encodeURIComponent(name)}`);
      said = lines.reverse().map(lineOf);
      if (!said.length) said = ["The audit log says nothing of this card."];
    } catch (problem) {
      said = [problem.message];
    }
    if (!this.#over) this.history.replaceChildren(...said.map((textContent) => make("li", { textContent })));
  }
}

// One line of the audit log as a sentence of what it has.
function lineOf(line) {
  const { event, who, why } = line;
  const name = typeof who === "object" && who !== null ? who.principal ?? who.name : who;
  const more = [why, line.kind, line.tags?.join?.(", ")].filter((each) => typeof each === "string" && each);
  return [when(line.time ?? line.at ?? ""), String(event).replaceAll("_", " "), name, ...more].filter(Boolean).join(" · ");
}
