/**
 * An answer's text as it grows. Rendering all of it at each token would destroy the reader's selection, so only the
 * blocks that changed are touched, and inside them only what changed.
 */

import { el } from "../base/dom.js";
import { colour, frame } from "./code.js";
import { typeset } from "./formula.js";
import { blocks, sanitize, toHtml } from "./markdown.js";
import { morph } from "./morph.js";
import { boxTables, watchWide } from "./wide.js";

/** @typedef {{type: string, raw: string, html: string, element: HTMLElement, content: HTMLElement,
 *   coloured?: string}} Shown */

export class AnswerText {
  #text = "";
  #frame = 0;
  /** Drawing went wrong: from now on the text is shown as it is. */
  #plain = false;
  /** @type {Shown[]} */
  #shown = [];

  /** @param {(text: string) => void} copied told what a code block's copy button copied */
  constructor(copied) {
    this.copied = copied;
    this.element = el("div", { class: "prose" });
  }

  /** The text so far, as the model wrote it. */
  get text() {
    return this.#text;
  }

  /**
   * Add text; it shows with the next frame.
   * @param {string} text
   */
  add(text) {
    this.#text += text;
    this.#frame ||= requestAnimationFrame(() => this.#render(false));
  }

  /**
   * Show exactly this text, now: there are no frames in a hidden tab.
   * @param {string} [text]
   * @param {boolean} [whole] no more will come
   */
  show(text = this.#text, whole = true) {
    this.#text = text;
    this.#render(whole);
  }

  /** @param {boolean} whole */
  #render(whole) {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    try {
      if (!this.#plain) return this.#draw(whole);
    } catch (error) {
      console.error("An answer is shown as plain text:", error);
      this.#plain = true;
    }
    this.element.replaceChildren(el("p", { class: "plain", dir: "auto" }, this.#text));
  }

  /** @param {boolean} whole */
  #draw(whole) {
    const tokens = blocks(this.#text);
    tokens.forEach((token, index) => this.#drawBlock(token, index));
    for (const block of this.#shown.splice(tokens.length)) block.element.remove();
    for (const block of whole ? this.#shown : this.#shown.slice(0, -1)) {
      if (block.coloured !== block.html) decorate(colour, block.content);
      block.coloured = block.html;
    }
  }

  /**
   * @param {import("./markdown.js").Token} token
   * @param {number} index
   */
  #drawBlock(token, index) {
    const shown = this.#shown[index];
    // A link may wait for its address, "[text][1]", which comes blocks later: then only the HTML tells.
    if (shown?.raw === token.raw && !token.raw.includes("[")) return;
    const html = toHtml(token);
    if (shown?.type === token.type) {
      if (shown.html !== html) morph(shown.content, this.#nodes(html));
      Object.assign(shown, { raw: token.raw, html });
      this.#dress(shown.content);
      return;
    }
    const content = el("div", { class: "content", dir: "auto" }, this.#nodes(html));
    const element = el("div", { class: `block ${token.type}` }, content);
    if (shown) shown.element.replaceWith(element);
    else this.element.append(element);
    this.#shown[index] = { type: token.type, raw: token.raw, html, element, content };
    this.#dress(content);
  }

  /** @param {HTMLElement} content */
  #dress(content) {
    watchWide(content);
    decorate(typeset, content);
  }

  /** @param {string} html */
  #nodes(html) {
    const nodes = sanitize(html);
    frame(nodes, this.copied);
    boxTables(nodes);
    return nodes;
  }
}

/**
 * Colours and formulas come when their libraries have; without them the text can be read all the same.
 * @param {(content: Element) => Promise<void>} draw
 * @param {HTMLElement} content
 */
function decorate(draw, content) {
  draw(content).catch((error) => console.warn("The answer stays undecorated:", error));
}
