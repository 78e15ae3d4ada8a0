// SPDX-License-Identifier: Apache-2.0
// A session with one card: commands are typed in hexadecimal digits, and answers shown beneath.

import { selectionOf } from "./api.js";
import { make, setHidden } from "./dom.js";
import { Session } from "./session.js";

const MOST_LINES = 500;

export class Console {
  #session = null;
  #history = [];
  #at = 0;
  #busy = false;
  #gone = false;

  constructor(reader) {
    this.reader = reader;
    this.lines = make("ol", { tabIndex: 0, aria: { label: "Commands and responses", live: "polite" } });
    this.input = make("input", {
      className: "mono", autocomplete: "off", spellcheck: false, placeholder: "00A40004023F00",
      aria: { label: "Command APDU in hexadecimal digits" }, on: { keydown: (event) => this.#key(event) },
    });
    this.form = make("form", { on: { submit: (event) => this.#submit(event) } }, this.input, make("button", { type: "submit", textContent: "Send" }));
    this.box = make("div", { className: "console", id: "console" }, this.lines, this.form);
    const button = (textContent, click) => make("button", { type: "button", textContent, on: { click } });
    this.take = button("Take the card", () => this.#do(() => this.#take()));
    this.reset = button("Reset", () => this.#do(() => this.#reset()));
    this.give = button("Give it back", () => this.#do(() => this.#give()));
    this.element = make("div", {}, make("h3", { textContent: "Console" }), make("div", { className: "buttons" }, this.take, this.reset, this.give), this.box);
    this.#show();
  }

  // Gives the card back when the page goes on to something else.
  close() {
    this.#gone = true;
    if (this.#session) this.#leave().catch(() => {});
  }

  #show() {
    setHidden(this.take, this.#session !== null);
    for (const each of [this.reset, this.give, this.box]) setHidden(each, this.#session === null && (each !== this.box || !this.lines.childElementCount));
    setHidden(this.form, this.#session === null);
  }

  #say(text, kind = "") {
    this.lines.append(make("li", { className: "mono", textContent: text, data: { kind } }));
    while (this.lines.childElementCount > MOST_LINES) this.lines.firstElementChild.remove();
    this.lines.scrollTop = this.lines.scrollHeight;
  }

  async #do(what) {
    if (this.#busy) return;
    this.#busy = true;
    this.form.lastElementChild.disabled = true;
    try {
      await what();
    } catch (problem) {
      const risk = problem.outcome === "unknown" ? " The card may have run the command." : "";
      this.#say(problem.message + risk, "wrong");
      if (["no_such_session", "revoked", "lease_expired", "card_client_gone", "card_not_present", "forbidden", "resumed_elsewhere"].includes(problem.code)) this.#session = null;
    } finally {
      this.#busy = false;
      this.form.lastElementChild.disabled = false;
      this.#show();
      if (this.#gone && this.#session) this.#leave().catch(() => {});
    }
  }

  async #take() {
    this.#session = await Session.begin(selectionOf(this.reader));
    const { idle_s, seal } = this.#session;
    this.#say(`The card is yours, freshly reset, until it is given back or not used for ${idle_s} s. ${seal || "The session is not sealed: the server can read what passes."}`);
    this.#show();
    this.input.focus();
  }

  async #reset() {
    const { atr, protocol } = await this.#session.reset();
    this.#say(`Reset: ${atr ?? ""} ${protocol ?? ""}`);
  }

  async #give() {
    await this.#leave();
    this.#say("The card is given back.");
  }

  async #leave() {
    const session = this.#session;
    this.#session = null;
    await session.end();
  }

  async #send(text) {
    const command = text.replace(/[\s:]+/g, "").toLowerCase();
    if (!/^([0-9a-f]{2}){4,}$/.test(command)) throw new Error("A command has at least four octets, each of two hexadecimal digits.");
    const secret = /^..(20|24|2c)/.test(command) && command.length > 10; // VERIFY, CHANGE, UNBLOCK PIN
    if (!secret && this.#history.at(-1) !== text) this.#history.push(text);
    this.#at = this.#history.length;
    this.input.value = "";
    this.#say(`> ${secret ? `${command.slice(0, 10)} (not shown)` : command}`);
    const { response, sw, meaning } = await this.#session.transmit(command);
    this.#say(`${response ? `${response} ` : ""}${sw}${meaning ? `: ${meaning}` : ""}`, /^(9000|91..|61..)$/.test(sw) ? "" : "wrong");
  }

  #submit(event) {
    event.preventDefault();
    const text = this.input.value.trim();
    if (text && this.#session) this.#do(() => this.#send(text));
  }

  #key(event) {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    this.#at = Math.min(this.#history.length, Math.max(0, this.#at + step));
    this.input.value = this.#history[this.#at] ?? "";
  }
}
