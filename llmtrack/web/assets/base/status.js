/** Says things to screen readers. */

import { byId } from "./dom.js";

/** @param {string} text */
export function announce(text) {
  byId("status", HTMLDivElement).textContent = text;
}
