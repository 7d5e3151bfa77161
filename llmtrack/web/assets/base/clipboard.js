/** Copy buttons. */

import { el, iconButton, relabel } from "./dom.js";
import { announce } from "./status.js";

const CONFIRMED_MS = 1600;

/**
 * A button that copies a text and says so for a moment.
 * @param {string} label
 * @param {() => string} text
 * @param {(text: string) => void} copied called after a copy that worked
 */
export function copyButton(label, text, copied) {
  let timer = 0;
  const button = iconButton("copy", label, async () => {
    const copy = text();
    const worked = await write(copy);
    if (worked) copied(copy);
    relabel(button, worked ? "check" : "alert", worked ? "Copied" : "The browser refused to copy");
    announce(button.title);
    clearTimeout(timer);
    timer = window.setTimeout(() => relabel(button, "copy", label), CONFIRMED_MS);
  });
  return button;
}

/**
 * @param {string} text
 * @returns {Promise<boolean>} whether it worked
 */
async function write(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return writeByField(text);
  }
}

/**
 * For pages served over plain http from another machine, where browsers give no clipboard.
 * @param {string} text
 */
function writeByField(text) {
  const before = document.activeElement;
  const field = el("textarea", { class: "visually-hidden", "aria-hidden": "true", readonly: "" });
  field.value = text;
  document.body.append(field);
  field.select();
  const worked = document.execCommand("copy");
  field.remove();
  if (before instanceof HTMLElement) before.focus();
  return worked;
}
