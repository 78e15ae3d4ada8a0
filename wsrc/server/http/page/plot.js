// SPDX-License-Identifier: Apache-2.0
// What went through the server over the day, as two lines.

import { get } from "./api.js";
import { make, setText } from "./dom.js";

const MINUTES = 1440;
const SVG = "http://www.w3.org/2000/svg";

class Plot {
  constructor(title) {
    this.path = document.createElementNS(SVG, "path");
    this.svg = document.createElementNS(SVG, "svg");
    this.svg.setAttribute("viewBox", `0 0 ${MINUTES} 100`);
    this.svg.setAttribute("preserveAspectRatio", "none");
    this.svg.setAttribute("role", "img");
    this.svg.append(this.path);
    this.title = title;
    this.most = make("span", { className: "quiet" });
    this.element = make("figure", {}, make("figcaption", {}, make("b", { textContent: title }), this.most), this.svg);
  }

  show(values, now, unit) {
    const most = Math.max(...values, now, 0);
    const scale = most > 0 ? 96 / most : 0;
    const first = MINUTES - values.length;
    const points = [...values, now].map((value, at) => `${first + at} ${(98 - value * scale).toFixed(2)}`);
    this.path.setAttribute("d", `M${points.join("L")}`);
    const said = `${now.toFixed(unit ? 1 : 0)}${unit} now, ${most.toFixed(unit ? 1 : 0)}${unit} at most in 24 h`;
    setText(this.most, said);
    this.svg.setAttribute("aria-label", `${this.title}: ${said}`);
  }
}

export class Activity {
  #commands = [];
  #busy = [];
  #until = null;
  #timer = 0;
  #over = false;

  constructor(section) {
    this.rate = new Plot("Commands per second");
    this.held = new Plot("Sessions");
    this.wrong = make("p", { role: "alert" });
    section.replaceChildren(this.rate.element, this.held.element, this.wrong);
    this.#look();
  }

  close() {
    this.#over = true;
    clearTimeout(this.#timer);
  }

  async #look() {
    if (!document.hidden) {
      try {
        await this.#read();
        setText(this.wrong, "");
      } catch (problem) {
        setText(this.wrong, problem.message);
      }
    }
    if (!this.#over) this.#timer = setTimeout(() => this.#look(), 10_000);
  }

  async #read() {
    const minutes = this.#until === null ? MINUTES : Math.min(MINUTES, Math.ceil((Date.now() - this.#until) / 60_000) + 2);
    const told = await get(`/activity?minutes=${Math.max(1, minutes)}`);
    const until = Date.parse(told.until);
    const fresh = this.#until === null ? told.commands.length : Math.round((until - this.#until) / 60_000);
    if (this.#until !== null && fresh > told.commands.length) {
      this.#until = null; // the server was started again, or was out of reach for long
      this.#commands = [];
      this.#busy = [];
      return;
    }
    if (fresh > 0) {
      this.#commands = [...this.#commands, ...told.commands.slice(-fresh)].slice(-MINUTES);
      this.#busy = [...this.#busy, ...told.busy.slice(-fresh)].slice(-MINUTES);
    }
    this.#until = fresh > 0 || this.#until === null ? until : this.#until;
    const since_s = Math.max(1, (Date.now() - until) / 1000);
    this.rate.show(this.#commands.map((each) => each / 60), told.commands_now / Math.min(60, since_s), "/s");
    this.held.show(this.#busy, told.busy_now, "");
  }
}
