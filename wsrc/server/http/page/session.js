// SPDX-License-Identifier: Apache-2.0
// A session with one card over the REST interface: sealed, where the card host has seals.

import { Problem, ask, get, post } from "./api.js";
import { SUITE, base64, canSeal, fingerprintOf, isSigned, keysOf, openBox, pack, publicKeyOf, purpose, random, sealBox, sealTo, sha256, texts, unbase64, unhex, utf8 } from "./sealing.js";

const KNOWN = "wsrc-card-hosts"; // where this browser keeps the keys of card hosts
const WRONG = "This browser does not go on: ";

// What is known of card hosts: their fingerprints, by what they call themselves.
function known() {
  try {
    return Object.assign(Object.create(null), JSON.parse(localStorage.getItem(KNOWN) ?? "{}"));
  } catch {
    return Object.create(null);
  }
}

// The terms as this end knows them, and as the card host says them: docs/sealing.md.
async function termsOf(session, asked, offer) {
  const { user = "", principal = "", name = "", iccid = "", eids = [], label = "" } = offer;
  return pack(
    purpose("terms"), utf8(session), utf8("exclusive"), texts([]), utf8(user), utf8(principal),
    utf8(offer.host), utf8(offer.reader), utf8(name), unhex(offer.atr), utf8(iccid), texts(eids), utf8(label),
    unbase64(asked.nonce), texts(asked.suites), utf8(asked.mode),
    unbase64(offer.nonce), texts(offer.suites), utf8(offer.mode), utf8(offer.suite), unbase64(offer.key),
    utf8(offer.wants_user ? "user" : ""), await sha256(unbase64(offer.certificates[0])));
}

export class Session {
  #keys = null;
  #secret = undefined;
  #seq = 0;
  #ran = 0;

  // Takes the card that is selected; throws if it is not given, or its host is not believed.
  static async begin(selection) {
    const asked = canSeal() ? { nonce: base64(random()), suites: [SUITE], mode: "preferred" } : undefined;
    const taken = await post("/sessions", { ...selection, name: "page", seal: asked });
    const session = new Session(taken);
    try {
      if (taken.seal) await session.#seal(asked, taken.seal, selection);
      else if (known()[taken.card?.host]) throw new Error(`${WRONG}${taken.card.host} has sealed its sessions before, and this one is not sealed.`);
    } catch (problem) {
      await session.end().catch(() => {});
      throw problem;
    }
    return session;
  }

  constructor(taken) {
    this.name = taken.session;
    this.idle_s = taken.idle_s;
    this.seal = "";
  }

  // Checks the offer of the card host, and derives the keys; nothing is sent yet.
  async #seal(asked, offer, selection) {
    const spki = publicKeyOf(unbase64(offer.certificates[0]));
    const terms = await termsOf(this.name, asked, offer);
    if (offer.suite !== SUITE || !offer.suites.includes(SUITE)) throw new Error(`${WRONG}the card host seals in a way that was not asked for.`);
    if (!await isSigned(spki, unbase64(offer.signature), pack(purpose("offer"), terms))) throw new Error(`${WRONG}what the card host has signed is not what was asked; the server may have changed it.`);
    for (const name of ["iccid", "atr"]) if (selection[name] && selection[name].toLowerCase() !== (offer[name] ?? "").toLowerCase()) throw new Error(`${WRONG}the card host gives another card.`);
    if (offer.wants_user) throw new Error("The card host wants users who prove by a certificate who they are, which a browser cannot; use wsrc.");
    const all = known();
    const key = await fingerprintOf(spki);
    const before = all[offer.host];
    if (before && before !== key) throw new Error(`${WRONG}${offer.host} has another key than before: ${key} and not ${before}. If that is as it should be, clear what this browser keeps of the page.`);
    const secret = random();
    const sealed = await sealTo(unbase64(offer.key), secret, pack(purpose("secret"), terms, new Uint8Array()));
    this.#keys = await keysOf(secret, await sha256(pack(purpose("keys"), terms, new Uint8Array(), sealed)));
    this.#secret = { sealed: base64(sealed) };
    this.seal = `Sealed by ${offer.host}, whose key is ${key}${before ? "" : ", seen here for the first time"}.`;
    if (!before) localStorage.setItem(KNOWN, JSON.stringify({ ...all, [offer.host]: key }));
  }

  async transmit(command) {
    if (!this.#keys) return post(`/sessions/${this.name}/transmit`, { command, seq: ++this.#seq });
    const { response, sw } = await this.#ask("c_apdu", "r_apdu", { command });
    return { response, sw, meaning: await meaningOf(sw) };
  }

  async reset() {
    if (!this.#keys) return post(`/sessions/${this.name}/reset`, { kind: "cold", seq: ++this.#seq });
    return this.#ask("reset_req", "reset_resp", { kind: "cold" });
  }

  end() {
    return ask("DELETE", `/sessions/${this.name}`);
  }

  async #ask(kind, answered, fields) {
    const seq = ++this.#seq;
    const box = await sealBox(this.#keys.requests, this.name, kind, seq, this.#ran, JSON.stringify({ msg_type: kind, ...fields }));
    let told;
    try {
      told = await post(`/sessions/${this.name}/sealed`, { of: kind, box: base64(box), seq, secret: this.#secret });
    } catch (problem) {
      if (problem.outcome !== "not_executed") this.#ran = seq;
      problem.outcome = "unknown"; // the server alone says otherwise
      throw problem;
    }
    this.#ran = seq;
    let said;
    try {
      said = JSON.parse(await openBox(this.#keys.answers, this.name, told.of, seq, unbase64(told.box)));
    } catch {
      throw new Problem(0, { detail: "The answer is not as the card host has sealed it.", code: "seal_box", outcome: "unknown" });
    }
    this.#secret = undefined;
    if (said.msg_type === "error") throw new Problem(0, { ...said, detail: said.message });
    if (said.msg_type !== told.of || told.of !== answered) throw new Problem(0, { detail: "The card host has answered something else.", code: "seal_box", outcome: "unknown" });
    return said;
  }
}

let words = null;

// What a status word says, without the server being told which.
async function meaningOf(sw) {
  words ??= await get("/status-words").catch(() => null);
  const one = words?.words[sw] ?? words?.ranges[sw.slice(0, 2)] ?? "not defined by ISO/IEC 7816-4";
  return one.replace("{number}", parseInt(sw.slice(2), 16)).replace("{digits}", sw.slice(2).toUpperCase());
}
