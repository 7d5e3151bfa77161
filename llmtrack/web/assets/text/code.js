/** Code blocks: a head with language and copy button, and colours by highlight.js, which is loaded with the first one. */

import { copyButton } from "../base/clipboard.js";
import { el } from "../base/dom.js";
import { drawn, sourceOf } from "./drawn.js";
import { sanitize } from "./markdown.js";

const HIGHLIGHT = "/assets/vendor/highlight/highlight.min.js";
const LONGEST = 100_000; // characters

/** @type {Promise<Highlighter> | undefined} */
let loading;

const load = async () => (await import(HIGHLIGHT)).default;

/**
 * Give each code block its head.
 * @param {ParentNode} root
 * @param {(text: string) => void} copied told what a copy button copied
 */
export function frame(root, copied) {
  for (const pre of root.querySelectorAll("pre")) {
    const code = pre.querySelector("code");
    if (!code) continue;
    const language = code.dataset.language || "code";
    const copy = copyButton("Copy this code", () => code.textContent ?? "", copied);
    const head = drawn(el("div", { class: "code-head" }, el("span", {}, language), copy), language);
    const box = el("div", { class: "code-box", dir: "ltr" }, head);
    pre.replaceWith(box);
    box.append(pre);
  }
}

/**
 * Colour the code in an element. Once it is coloured, its text must not grow any more.
 * @param {Element} root
 */
export async function colour(root) {
  const plain = [...root.querySelectorAll("code")].filter(
    (code) => code.dataset.language && code.textContent.length < LONGEST && sourceOf(code) === undefined,
  );
  if (!plain.length) return;
  const highlighter = await (loading ??= load());
  for (const code of plain) if (sourceOf(code) === undefined) paint(highlighter, code);
}

/**
 * @param {Highlighter} highlighter
 * @param {HTMLElement} code
 */
function paint(highlighter, code) {
  const language = code.dataset.language?.split(/[\s,:{]/)[0] ?? "";
  if (!highlighter.getLanguage(language)) return;
  const selection = getSelection();
  if (selection && !selection.isCollapsed && selection.containsNode(code, true)) {
    // New elements would end the selection: colours wait for it.
    document.addEventListener("selectionchange", () => paint(highlighter, code), { once: true });
    return;
  }
  const source = code.textContent ?? "";
  const { value } = highlighter.highlight(source, { language, ignoreIllegals: true });
  code.replaceChildren(sanitize(value, ["span", "#text"], ["class"]));
  drawn(code, source);
}
