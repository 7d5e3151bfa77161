/** What a model thinks before it answers: folded, for those who want to look. */

import { el, icon } from "../base/dom.js";

const SECOND_MS = 1000;

export class Thinking {
  #began = performance.now();
  #label = el("span", {}, "Thinking…");
  #text = el("div", { class: "thinking-text", dir: "auto" });
  #over = false;

  constructor() {
    const summary = el("summary", {}, icon("more"), this.#label);
    this.element = el("details", { class: "thinking", "data-over": "false" }, summary, this.#text);
  }

  /** @param {string} text */
  add(text) {
    this.#text.append(text);
  }

  /**
   * It is over, and this is how long it took.
   * @param {number} [ms]
   */
  end(ms) {
    if (this.#over && ms === undefined) return;
    this.#over = true;
    this.element.dataset.over = "true";
    this.#label.textContent = thought(ms ?? performance.now() - this.#began);
  }
}

/** @param {number} ms */
function thought(ms) {
  const seconds = Math.round(ms / SECOND_MS);
  if (seconds < 1) return "Thought for a moment";
  if (seconds < 60) return `Thought for ${seconds} ${seconds === 1 ? "second" : "seconds"}`;
  return `Thought for ${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
