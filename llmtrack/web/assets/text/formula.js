/** Formulas, typeset by KaTeX, which is loaded with the first one. What is copied is what the model wrote. */

import { el } from "../base/dom.js";
import { drawn, sourceOf } from "./drawn.js";

const KATEX = "/assets/vendor/katex/katex.min";
const DELIMITER = 2; // characters
const LONGEST = 20_000; // characters: KaTeX draws everything in one go

/** @type {Promise<Katex> | undefined} */
let loading;

async function load() {
  const sheet = el("link", { rel: "stylesheet", href: `${KATEX}.css` });
  const styled = new Promise((done) => (sheet.onload = sheet.onerror = done));
  document.head.append(sheet);
  await Promise.all([styled, import(`${KATEX}.js`)]);
  return window.katex;
}

/**
 * Typeset the formulas in an element that still stand there as their source. One that KaTeX cannot read stays so.
 * @param {Element} root
 */
export async function typeset(root) {
  const formulas = [...root.querySelectorAll("x-formula")].filter((formula) => sourceOf(formula) === undefined);
  if (!formulas.length) return;
  const katex = await (loading ??= load());
  for (const formula of formulas) if (sourceOf(formula) === undefined) draw(katex, formula);
}

/**
 * @param {Katex} katex
 * @param {Element} formula
 */
function draw(katex, formula) {
  const source = formula.textContent ?? "";
  const displayMode = !source.startsWith("\\(");
  drawn(formula, source);
  if (source.length > LONGEST) return;
  const box = el("span", { class: displayMode ? "display" : "inline" });
  try {
    katex.render(source.slice(DELIMITER, -DELIMITER), box, { displayMode, trust: false, strict: "ignore", maxExpand: 500 });
  } catch {
    return;
  }
  formula.replaceChildren(box);
}

/**
 * What a selection with formulas says, each formula as its source; null when there is none in it.
 * @param {Selection} selection
 */
function withSources(selection) {
  const range = selection.getRangeAt(0).cloneRange();
  const first = formulaAround(range.startContainer);
  const last = formulaAround(range.endContainer);
  if (first) range.setStartBefore(first);
  if (last) range.setEndAfter(last);
  const all = [...document.querySelectorAll("x-formula")].filter((formula) => range.intersectsNode(formula));
  if (!all.length) return null;
  const part = range.cloneContents();
  [...part.querySelectorAll("x-formula")].forEach((formula, index) => {
    formula.replaceWith(el("span", { class: "source" }, sourceOf(all[index]) ?? formula.textContent ?? ""));
  });
  const box = el("div", { class: "off-screen" }, part);
  document.body.append(box); // only what is laid out has line breaks in its innerText
  const text = box.innerText;
  const html = box.innerHTML;
  box.remove();
  return { text, html };
}

/** @param {Node} node */
const formulaAround = (node) => (node instanceof Element ? node : node.parentElement)?.closest("x-formula");

document.addEventListener("copy", (event) => {
  const selection = getSelection();
  if (!selection || selection.isCollapsed || !event.clipboardData) return;
  const copy = withSources(selection);
  if (!copy) return;
  event.clipboardData.setData("text/plain", copy.text);
  event.clipboardData.setData("text/html", copy.html);
  event.preventDefault();
});
