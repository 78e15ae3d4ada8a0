// SPDX-License-Identifier: Apache-2.0
// Elements, made without markup: no text of a card, a user or a host is ever read as HTML.

export const byId = (id) => document.getElementById(id);

// `props` are properties; `data` and `aria` are given as objects, `on` as listeners by event.
export function make(name, props = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(props)) {
    if (key === "data") Object.assign(element.dataset, value);
    else if (key === "on") for (const [type, heard] of Object.entries(value)) element.addEventListener(type, heard);
    else if (key === "aria") for (const [what, said] of Object.entries(value)) element.setAttribute(`aria-${what}`, said);
    else if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.filter((each) => each !== null && each !== undefined));
  return element;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setHidden(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden;
}

export function setData(element, key, value) {
  if (element.dataset[key] !== value) element.dataset[key] = value;
}

// A time of the server as people of this place write it.
export function when(utc) {
  const time = new Date(utc);
  return Number.isNaN(time.getTime()) ? utc : time.toLocaleString([], { dateStyle: "short", timeStyle: "medium" });
}

let fading = 0;

// Tells a sentence at the foot of the page for a while.
export function tell(sentence) {
  setText(byId("told"), sentence);
  clearTimeout(fading);
  fading = setTimeout(() => setText(byId("told"), ""), 8000);
}
