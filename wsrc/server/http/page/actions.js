// SPDX-License-Identifier: Apache-2.0
// What is done to a card or a host, each after one question.

import { ask, post, selectionOf } from "./api.js";
import { question } from "./dialog.js";
import { tell, when } from "./dom.js";
import { leasesOf, nameOf } from "./store.js";

const DERIVED = new Set(["card", "protocol", "atr_family", "host"]); // of wsrc.tags

function revoke(reader) {
  const holders = leasesOf(reader).map((lease) => lease.holder).join(", ");
  question({
    title: `Take back ${nameOf(reader)}`,
    what: `${holders || "Nobody"} has it. The session ends, the card is reset, and goes on to who waits for it.`,
    label: "Why, for who has it",
    okay: "Take back",
    act: async (why) => {
      const { holders: had } = await post("/revoke", { ...selectionOf(reader), why });
      tell(had.length ? `Taken back from ${had.map((each) => each.holder).join(", ")}.` : "Nobody had it.");
    },
  });
}

function tag(reader) {
  const before = Object.entries(reader.tags ?? {}).filter(([key]) => !DERIVED.has(key));
  question({
    title: `Tags of ${nameOf(reader)}`,
    what: "One key=value in a line. Those of its host stay, whatever is removed here.",
    label: "Tags",
    text: before.map(([key, value]) => `${key}=${value}`).join("\n"),
    okay: "Set tags",
    act: async (text) => {
      const set = Object.create(null);
      for (const line of text.split("\n").map((each) => each.trim()).filter(Boolean)) {
        const at = line.indexOf("=");
        if (at < 1) throw new Error(`“${line}” is no key=value.`);
        set[line.slice(0, at).trim()] = line.slice(at + 1).trim();
      }
      const unset = before.map(([key]) => key).filter((key) => !(key in set));
      for (const [key, value] of before) if (set[key] === value) delete set[key];
      if (Object.keys(set).length || unset.length) await post("/tags", { ...selectionOf(reader), set, unset });
      tell("The tags are set.");
    },
  });
}

function comment(reader) {
  question({
    title: `Comment on ${nameOf(reader)}`,
    what: "Everybody who may see the card sees it. Leave it empty to remove it.",
    label: "Comment",
    text: reader.comment ?? "",
    okay: "Note it",
    act: async (text) => {
      await post("/comment", { ...selectionOf(reader), comment: text.trim() });
      tell("The comment is noted.");
    },
  });
}

export function cancel({ number, holder, begins, ends }) {
  question({
    title: `Cancel reservation ${number}`,
    what: `${holder ?? "Somebody"} has the card from ${when(begins)} until ${when(ends)}. Its token is good no more; a session that took the card with it goes on as any other.`,
    okay: "Cancel it",
    act: async () => {
      await ask("DELETE", `/reservations/${number}`);
      tell(`Reservation ${number} is given up.`);
    },
  });
}

export const ofCards = { revoke, tag, comment };

export function drain(host) {
  question({
    title: `Drain ${host}`,
    what: "No session begins on its cards any more. Those that there are go on.",
    label: "Why, for who asks for its cards",
    okay: "Drain",
    act: async (why) => {
      const { sessions } = await post("/drain", { host, why });
      tell(sessions ? `${host} is drained; ${sessions} sessions are left.` : `${host} is drained.`);
    },
  });
}

export function undrain(host) {
  question({
    title: `End the draining of ${host}`,
    what: "Its cards can be had again.",
    okay: "End draining",
    act: async () => {
      await post("/undrain", { host });
      tell(`${host} is not drained any more.`);
    },
  });
}
