/** What stands under an answer: why it ended, what went wrong, where it comes from. */

import { el, icon } from "../base/dom.js";
import { address } from "../base/links.js";

/** @typedef {import("../base/api.js").Outcome} Outcome */

/**
 * What went wrong, and a button that tries again.
 * @param {string} message
 * @param {string} label
 * @param {() => void} retry
 */
export function problem(message, label, retry) {
  const button = el("button", { type: "button", class: "retry" }, label);
  button.addEventListener("click", retry);
  return el("div", { class: "problem", role: "alert" }, icon("alert"), el("p", {}, message), button);
}

/** @param {import("../base/api.js").Citation[]} sources */
export function citations(sources) {
  const items = sources.map(({ title, url }) => {
    const web = address(url);
    const text = title || web?.hostname || url;
    if (!web) return el("li", {}, text);
    return el("li", {}, el("a", { href: url, target: "_blank", rel: "noopener noreferrer", title: url }, text));
  });
  return el("div", { class: "citations", role: "group", "aria-label": "Sources" }, el("h3", {}, "Sources"), el("ol", {}, ...items));
}

/**
 * Why an answer is not whole, in words; empty when it is.
 * @param {Outcome} outcome
 */
export function ending({ partial, stopped, finish_reason: reason }) {
  if (stopped) return "Stopped.";
  if (reason === "length") return "The answer was cut off: the model reached its length limit.";
  if (reason === "content_filter") return "The answer was cut off by the provider’s content filter.";
  return partial ? "The answer broke off before its end." : "";
}
