/** The reader's choice, as the tracker keeps it (docs/tracking.md). This page waits for a consent that nobody gives. */

import { byId } from "./base/dom.js";

const KEYS = ["llmtrack:consent", "llmtrack:optout"];
const CANNOT = "Your browser lets this page keep nothing, so it cannot keep your choice. Visits are recorded while it does.";
const refuse = byId("refuse", HTMLButtonElement);
const allow = byId("allow", HTMLButtonElement);
const state = byId("state", HTMLElement);

/**
 * Whether the browser let the page do something with its storage.
 * @param {(storage: Storage) => void} work
 */
function stored(work) {
  try {
    work(localStorage);
    return true;
  } catch {
    return false;
  }
}

function show() {
  let no = false;
  stored((storage) => (no = storage.getItem(KEYS[0]) === "" || storage.getItem(KEYS[1]) !== null));
  state.textContent = no ? "Your visits are not recorded in this browser." : "";
  refuse.hidden = no;
  allow.hidden = !no;
}

refuse.addEventListener("click", () => {
  const kept = stored((storage) => storage.setItem(KEYS[0], "")); // also where the tracker is blocked
  window.llmtrack?.consent(false);
  show();
  if (kept) allow.focus();
  else state.textContent = CANNOT;
});

allow.addEventListener("click", () => {
  stored((storage) => KEYS.forEach((key) => storage.removeItem(key)));
  show();
  refuse.focus();
});

show();
