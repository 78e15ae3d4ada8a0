// SPDX-License-Identifier: Apache-2.0
// Lists: only the rows that can be seen are there, and only what is another is written.

import { make, setData, setHidden, setText } from "./dom.js";
import { leasesOf, nameOf, tagsOf } from "./store.js";

const BEYOND = 6; // rows above and below what can be seen

const KINDS = { ready: "free", associated: "busy", in_use: "busy", mute: "wrong" };

// A row of a list; a `name` that can have the focus and `show(item)` are those of its kind.
export class Line {
  constructor(number) {
    this.element = make("div", { className: "row", role: "listitem" });
    this.element.dataset.number = number;
  }

  has(...cells) {
    this.element.append(...cells);
  }

  place(index, height, count) {
    if (this.index !== index || this.height !== height) {
      this.index = index;
      this.height = height;
      this.element.style.transform = `translateY(${index * height}px)`;
      this.element.setAttribute("aria-posinset", index + 1);
    }
    if (this.count !== count) {
      this.count = count;
      this.element.setAttribute("aria-setsize", count);
    }
  }
}

// What is in a reader, where it is, who has it, and what is done to it.
export class CardRow extends Line {
  constructor(number, act) {
    super(number);
    this.name = make("a", { className: "name", href: `#/card/${number}` });
    this.where = make("span", { className: "where" });
    this.state = make("span", { className: "state" });
    this.holder = make("span", { className: "holder" });
    this.tags = make("span", { className: "tags" });
    this.note = make("span", { className: "note" });
    const button = (what, text, more = "") =>
      make("button", { type: "button", textContent: text, className: more, on: { click: () => act(what, number) } });
    this.back = button("revoke", "Take back");
    this.tag = button("tag", "Tag", "more");
    this.comment = button("comment", "Comment", "more");
    this.acts = make("span", { className: "acts" }, this.back, this.tag, this.comment);
    this.has(this.name, this.where, this.state, this.holder, this.tags, this.note, this.acts);
  }

  show(reader) {
    const leases = leasesOf(reader);
    const name = nameOf(reader);
    const state = reader.card?.state ?? reader.state;
    setText(this.name, name);
    setText(this.where, `${reader.host} · ${reader.name}`);
    setText(this.state, [state, reader.draining && "drained", reader.reserved && "reserved"].filter(Boolean).join(", "));
    setData(this.state, "kind", reader.state === "unavailable" ? "wrong" : KINDS[state] ?? "");
    const queue = reader.waiting ? `${reader.waiting} waiting` : "";
    setText(this.holder, [leases.map((lease) => lease.holder).join(", "), queue].filter(Boolean).join(" · "));
    setText(this.tags, tagsOf(reader).filter((tag) => !/^(host|atr_family)=/.test(tag)).join(" "));
    setText(this.note, reader.comment ?? "");
    setHidden(this.back, leases.length === 0);
    if (this.named !== name) {
      this.named = name;
      this.back.setAttribute("aria-label", `Take back ${name}`);
      this.tag.setAttribute("aria-label", `Tag ${name}`);
      this.comment.setAttribute("aria-label", `Comment ${name}`);
    }
  }
}

export class List {
  #rows = new Map();
  #box;
  #inner;
  #store;
  #make;
  #sized;
  #soon = 0;
  #dirty = new Set();
  #height = 0;

  // `store.shown` has what there is, each with its number, of which `made(number)` is a row.
  constructor(box, inner, store, made) {
    this.#box = box;
    this.#inner = inner;
    this.#store = store;
    this.#make = made;
    box.addEventListener("scroll", () => this.#later(), { passive: true });
    box.addEventListener("keydown", (event) => this.#key(event));
    this.#sized = new ResizeObserver(() => this.#later());
    this.#sized.observe(box);
  }

  close() {
    this.#sized.disconnect();
    cancelAnimationFrame(this.#soon);
  }

  // Writes what is another; all rows that can be seen where `numbers` is null.
  changed(numbers) {
    for (const number of numbers ?? this.#rows.keys()) this.#dirty.add(number);
    this.#later();
  }

  #later() {
    this.#soon ||= requestAnimationFrame(() => {
      this.#soon = 0;
      this.#draw();
    });
  }

  #draw() {
    const { shown } = this.#store;
    const height = parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row")) * parseFloat(getComputedStyle(document.documentElement).fontSize);
    const all = `${shown.length * height}px`;
    if (this.#inner.style.height !== all) this.#inner.style.height = all;
    this.#height = height;
    const first = Math.max(0, Math.floor(this.#box.scrollTop / height) - BEYOND);
    const last = Math.min(shown.length, Math.ceil((this.#box.scrollTop + this.#box.clientHeight) / height) + BEYOND);
    const wanted = new Map();
    for (let index = first; index < last; index++) wanted.set(shown[index].number, index);
    for (const [number, row] of this.#rows) {
      if (wanted.has(number)) continue;
      row.element.remove();
      this.#rows.delete(number);
    }
    for (const [number, index] of wanted) {
      let row = this.#rows.get(number);
      const isNew = row === undefined;
      if (isNew) {
        row = this.#make(number);
        this.#rows.set(number, row);
      }
      if (isNew || this.#dirty.has(number)) row.show(shown[index]);
      row.place(index, height, shown.length);
      if (isNew) this.#inner.append(row.element);
    }
    this.#dirty.clear();
  }

  #key(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };
    const step = steps[event.key];
    if (step === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    const row = document.activeElement?.closest?.(".row");
    const from = row ? this.#rows.get(Number(row.dataset.number))?.index ?? 0 : -1;
    const last = this.#store.shown.length - 1;
    if (last < 0) return;
    event.preventDefault();
    this.#focus(Math.min(last, Math.max(0, from + step)));
  }

  #focus(index) {
    const top = index * this.#height;
    const box = this.#box;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (top + this.#height > box.scrollTop + box.clientHeight) box.scrollTop = top + this.#height - box.clientHeight;
    this.#draw();
    this.#rows.get(this.#store.shown[index].number)?.name.focus({ preventScroll: true });
  }
}
