// SPDX-License-Identifier: Apache-2.0
// What there is: all readers as the server told them last, and those that are looked for.

const byPlace = new Intl.Collator("en", { numeric: true }).compare;

const inOrder = (a, b) => byPlace(a.host, b.host) || byPlace(a.name, b.name) || a.number - b.number;

export const nameOf = (reader) =>
  reader.card?.label || reader.card?.iccid || reader.card?.eids?.[0] || reader.name;

export const leasesOf = (reader) => {
  const lease = reader.lease ?? reader.card?.lease;
  return lease ? [lease, ...(reader.card?.others ?? [])] : [];
};

// By what a reader is told from others, in all that the server says.
export const placeOf = ({ host, reader }) => `${host}\n${reader}`;

export const tagsOf = (reader) => Object.entries(reader.tags ?? {}).map(([key, value]) => `${key}=${value}`);

function wordsOf(reader) {
  const card = reader.card ?? {};
  const holders = leasesOf(reader).map((lease) => lease.holder);
  const all = [reader.host, reader.reader, reader.name, card.label, card.iccid, ...(card.eids ?? []), card.atr, card.state, reader.comment, ...holders, ...tagsOf(reader)];
  return all.filter(Boolean).join("\n").toLowerCase();
}

export class Store {
  #readers = new Map();
  #words = new Map();
  #fresh = null;
  #changed;
  shown = [];
  anyone = 0;
  looked = { text: "", only: "", tag: "" };

  // `changed(numbers)` is told which readers are others than before; null is that the list is another.
  constructor(changed) {
    this.#changed = changed;
  }

  get size() {
    return this.#readers.size;
  }

  get all() {
    return this.#readers.values();
  }

  of(number) {
    return this.#readers.get(number);
  }

  // Returns the reader of a name at a host, if there is one.
  shownAs(host, name) {
    for (const reader of this.#readers.values()) if (reader.host === host && reader.name === name) return reader;
    return undefined;
  }

  // Takes one page of a snapshot; what is in none of its pages is gone.
  snapshot({ readers, more }) {
    this.#fresh ??= new Map();
    for (const reader of readers) this.#fresh.set(reader.number, reader);
    if (more) return;
    const fresh = this.#fresh;
    this.#fresh = null;
    this.#readers = new Map();
    this.#words = new Map();
    for (const reader of fresh.values()) this.#put(reader);
    this.#look();
    this.#changed(null);
  }

  change({ change, reader }) {
    if (this.#fresh !== null) {
      if (change === "removed") this.#fresh.delete(reader.number);
      else this.#fresh.set(reader.number, reader);
      return;
    }
    const before = this.#readers.get(reader.number);
    const was = before !== undefined && this.#isLookedFor(before);
    if (change === "removed") {
      this.#readers.delete(reader.number);
      this.#words.delete(reader.number);
    } else {
      this.#put(reader);
    }
    const is = change !== "removed" && this.#isLookedFor(reader);
    if (was && is && inOrder(before, reader) === 0) {
      this.shown[this.#placeOf(reader)] = reader;
      this.#changed([reader.number]);
    } else if (was || is) {
      this.#look();
      this.#changed(null);
    } else {
      this.#changed([reader.number]);
    }
  }

  // Forgets what a stream that broke had begun to tell.
  broken() {
    this.#fresh = null;
  }

  lookFor(looked) {
    this.looked = { ...this.looked, ...looked };
    this.#look();
    this.#changed(null);
  }

  // Takes how many wait for any card.
  wait(anyone) {
    if (this.anyone === anyone) return;
    this.anyone = anyone;
    this.#changed([]);
  }

  #put(reader) {
    this.#readers.set(reader.number, reader);
    this.#words.set(reader.number, wordsOf(reader));
  }

  #placeOf(reader) {
    let low = 0;
    let high = this.shown.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (inOrder(this.shown[middle], reader) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #look() {
    this.shown = [...this.#readers.values()].filter((reader) => this.#isLookedFor(reader)).sort(inOrder);
  }

  #isLookedFor(reader) {
    const { text, only, tag } = this.looked;
    if (tag && !tagsOf(reader).includes(tag)) return false;
    if (only === "free" && reader.card?.state !== "ready") return false;
    if (only === "busy" && !leasesOf(reader).length) return false;
    if (only === "waited" && !reader.waiting) return false;
    const words = this.#words.get(reader.number) ?? "";
    return text.toLowerCase().split(/\s+/).every((word) => words.includes(word));
  }
}
