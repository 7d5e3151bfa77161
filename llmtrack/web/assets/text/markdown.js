/**
 * Markdown to safe elements. A model's answer is untrusted text: HTML in it is shown as text, and what marked makes of
 * the rest passes DOMPurify with a short list of allowed tags and attributes, none of which loads anything.
 */

import { address } from "../base/links.js";
import DOMPurify from "../vendor/dompurify/purify.es.mjs";
import { Marked } from "../vendor/marked/marked.esm.js";

/** @typedef {import("../vendor/marked/marked.esm.js").Token} Token */

const TAGS = [
  "p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "del", "sub", "sup", "kbd", "code", "pre", "ul", "ol",
  "li", "blockquote", "table", "thead", "tbody", "tr", "th", "td", "a", "x-formula", "#text",
];
/** What markdown may say of an element; a formula's source and a code's language are its own inventions. */
export const ATTRIBUTES = ["href", "title", "start", "align", "target", "rel", "data-language"];
const LINK_SCHEMES = ["http:", "https:", "mailto:"];
// Tags without attributes that models put into tables and formulas, where markdown has no word for them.
const HARMLESS_TAG = /^<\/?(?:br|sub|sup|kbd) ?\/?>$/i;
// \(…\) in a line, \[…\] and $$…$$ on lines of their own or in one
const FORMULA = /^(?:\\\([^]+?\\\)|\\\[[^]+?\\\]|\$\$(?:[^$\\]|\\[^])+?\$\$)/;
const FORMULA_BLOCK = /^ {0,3}(\\\[[^]+?\\\]|\$\$(?:[^$\\]|\\[^])+?\$\$)[ \t]*(?:\n+|$)/;

/** @param {string} text */
const escape = (text) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/** @param {import("../vendor/marked/marked.esm.js").Tokens.Generic} token */
const formula = ({ text }) => `<x-formula>${escape(text)}</x-formula>`;

/** @type {import("../vendor/marked/marked.esm.js").TokenizerAndRendererExtension[]} */
const formulas = [
  {
    name: "formula",
    level: "inline",
    start: (text) => place(text, /\\[([]|\$\$/),
    tokenizer(text) {
      const [raw] = FORMULA.exec(text) ?? [];
      return raw ? { type: "formula", raw, text: raw } : undefined;
    },
    renderer: formula,
  },
  {
    name: "formulas",
    level: "block",
    start: (text) => place(text, /^ {0,3}(?:\\\[|\$\$)/m),
    tokenizer(text) {
      const [raw, source] = FORMULA_BLOCK.exec(text) ?? [];
      return raw ? { type: "formulas", raw, text: source } : undefined;
    },
    renderer: formula,
  },
];

/**
 * @param {string} text
 * @param {RegExp} pattern
 */
function place(text, pattern) {
  const at = text.search(pattern);
  return at < 0 ? undefined : at;
}

const marked = new Marked({
  gfm: true,
  breaks: true,
  extensions: formulas,
  renderer: {
    html(token) {
      const html = token.text.trim();
      if (HARMLESS_TAG.test(html)) return html;
      return token.type === "html" && token.block ? `<p>${escape(html).replaceAll("\n", "<br>")}</p>` : escape(token.text);
    },
    code: ({ text, lang }) => `<pre><code data-language="${escape(lang ?? "")}">${escape(text)}\n</code></pre>`,
    // A remote image would tell a stranger's server that the answer is being read: it becomes a link.
    image: ({ href, text }) => `<a href="${escape(href)}">${escape(text || href)}</a>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});

const purify = DOMPurify();
purify.addHook("afterSanitizeAttributes", (node) => {
  if (!(node instanceof HTMLAnchorElement)) return;
  if (!address(node.getAttribute("href") ?? "", LINK_SCHEMES)) return node.removeAttribute("href");
  node.target = "_blank";
  node.rel = "noopener noreferrer";
});

/**
 * The top-level blocks of a text (paragraphs, lists, code, …) in order, without the blank lines between them.
 * @param {string} text
 * @returns {Token[]}
 */
export function blocks(text) {
  return marked.lexer(text).filter(({ type }) => type !== "space" && type !== "def");
}

/**
 * The HTML of one block, not yet safe.
 * @param {Token} block
 */
export const toHtml = (block) => marked.parser([block]);

/**
 * Safe nodes for HTML.
 * @param {string} html
 * @returns {DocumentFragment}
 */
export function sanitize(html, tags = TAGS, attributes = ATTRIBUTES) {
  return purify.sanitize(html, {
    ALLOWED_TAGS: tags,
    ALLOWED_ATTR: attributes,
    ALLOW_ARIA_ATTR: false,
    ALLOW_DATA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
  });
}
