// SPDX-License-Identifier: Apache-2.0
// One question at a time, in a dialog: what is to be done, to what, and a text that goes with it.

import { byId, setHidden, setText } from "./dom.js";

let asked = null;

// Asks, and does `act(text)` until it succeeds or is left; its sentence is shown where it fails.
export function question({ title, what, label, text = "", okay, act }) {
  const dialog = byId("dialog");
  if (dialog.open) return;
  setText(byId("dialog-title"), title);
  setText(byId("dialog-what"), what);
  setText(byId("dialog-label"), label ?? "");
  setText(byId("dialog-error"), "");
  setText(byId("dialog-ok"), okay);
  setHidden(byId("dialog-text").parentElement, label === undefined);
  byId("dialog-text").value = text;
  byId("dialog-ok").disabled = false;
  asked = act;
  dialog.showModal();
}

async function answer(event) {
  event.preventDefault();
  const okay = byId("dialog-ok");
  if (okay.disabled || asked === null) return;
  const act = asked;
  okay.disabled = true;
  try {
    await act(byId("dialog-text").value);
    if (act === asked) byId("dialog").close();
  } catch (problem) {
    if (act === asked) setText(byId("dialog-error"), problem.message);
  } finally {
    if (act === asked || asked === null) okay.disabled = false;
  }
}

export function begin() {
  byId("dialog-form").addEventListener("submit", answer);
  byId("dialog-cancel").addEventListener("click", () => byId("dialog").close());
  byId("dialog").addEventListener("close", () => { asked = null; });
  byId("dialog-text").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    byId("dialog-form").requestSubmit();
  });
}
