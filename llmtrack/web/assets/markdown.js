/**
 * Markdown to safe elements. A model's answer is untrusted text: HTML in it is shown as text, and what marked makes of
 * the rest passes DOMPurify with a short list of allowed tags and attributes, none of which loads anything.
 */

import DOMPurify from "./vendor/dompurify/purify.es.mjs";
import { Marked } from "./vendor/marked/marked.esm.js";

/** @typedef {import("./vendor/marked/marked.esm.js").Token} Token */

const TAGS = [
  "p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "del", "sub", "sup", "kbd", "code", "pre", "ul", "ol",
  "li", "blockquote", "table", "thead", "tbody", "tr", "th", "td", "a", "#text",
];
const ATTRIBUTES = ["href", "title", "start", "align", "target", "rel"];
const LINK_SCHEMES = ["http:", "https:", "mailto:"];
// Tags without attributes that models put into tables and formulas, where markdown has no word for them.
const HARMLESS_TAG = /^<\/?(?:br|sub|sup|kbd) ?\/?>$/i;

/** @param {string} text */
const escape = (text) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    html(token) {
      const html = token.text.trim();
      if (HARMLESS_TAG.test(html)) return html;
      return token.type === "html" && token.block ? `<p>${escape(html).replaceAll("\n", "<br>")}</p>` : escape(token.text);
    },
    // A remote image would tell a stranger's server that the answer is being read: it becomes a link.
    image: ({ href, text }) => `<a href="${escape(href)}">${escape(text || href)}</a>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});

const purify = DOMPurify();
purify.addHook("afterSanitizeAttributes", (node) => {
  if (!(node instanceof HTMLAnchorElement)) return;
  const scheme = URL.parse(node.getAttribute("href") ?? "")?.protocol ?? "";
  if (!LINK_SCHEMES.includes(scheme)) return node.removeAttribute("href");
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
export function sanitize(html) {
  return purify.sanitize(html, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ATTRIBUTES,
    ALLOW_ARIA_ATTR: false,
    ALLOW_DATA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
  });
}
