/** The reader's choice, as the tracker keeps it (docs/tracking.md). This page waits for a consent that nobody gives. */

import { byId } from "./base/dom.js";

const KEYS = ["llmtrack:consent", "llmtrack:optout"];
const refuse = byId("refuse", HTMLButtonElement);
const allow = byId("allow", HTMLButtonElement);

function refused() {
  return localStorage.getItem(KEYS[0]) === "" || localStorage.getItem(KEYS[1]) !== null;
}

function show() {
  const no = refused();
  byId("state", HTMLElement).textContent = no ? "Your visits are not recorded in this browser." : "";
  refuse.hidden = no;
  allow.hidden = !no;
}

refuse.addEventListener("click", () => {
  localStorage.setItem(KEYS[0], ""); // also where the tracker is blocked
  window.llmtrack?.consent(false);
  show();
  allow.focus();
});

allow.addEventListener("click", () => {
  for (const key of KEYS) localStorage.removeItem(key);
  show();
  refuse.focus();
});

show();
