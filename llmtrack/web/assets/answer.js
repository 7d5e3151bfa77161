/**
 * An answer's text as it grows. Rendering all of it at each token would destroy the reader's selection, so only the
 * blocks that changed are touched, and inside them only what changed.
 */

import { copyButton } from "./clipboard.js";
import { el } from "./dom.js";
import { blocks, sanitize, toHtml } from "./markdown.js";
import { morph } from "./morph.js";

/** @typedef {{type: string, raw: string, html: string, element: HTMLElement, content: HTMLElement}} Shown */

export class AnswerText {
  #text = "";
  #frame = 0;
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
    this.#frame ||= requestAnimationFrame(() => this.#render());
  }

  /**
   * Show exactly this text, now: there are no frames in a hidden tab.
   * @param {string} [text]
   */
  show(text = this.#text) {
    this.#text = text;
    this.#render();
  }

  #render() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const tokens = blocks(this.#text);
    tokens.forEach((token, index) => this.#renderBlock(token, index));
    for (const block of this.#shown.splice(tokens.length)) block.element.remove();
  }

  /**
   * @param {import("./markdown.js").Token} token
   * @param {number} index
   */
  #renderBlock(token, index) {
    const shown = this.#shown[index];
    // A link may wait for its address, "[text][1]", which comes blocks later: then only the HTML tells.
    if (shown?.raw === token.raw && !token.raw.includes("[")) return;
    const html = toHtml(token);
    if (shown?.type === token.type) {
      if (shown.html !== html) morph(shown.content, sanitize(html));
      Object.assign(shown, { raw: token.raw, html });
      return;
    }
    const block = this.#build(token, html);
    if (shown) shown.element.replaceWith(block.element);
    else this.element.append(block.element);
    this.#shown[index] = block;
  }

  /**
   * @param {import("./markdown.js").Token} token
   * @param {string} html
   * @returns {Shown}
   */
  #build(token, html) {
    const content = el("div", { class: "content", dir: "auto" }, sanitize(html));
    const element = el("div", { class: `block ${token.type}` }, content);
    if (token.type === "code") {
      content.dir = "ltr";
      const copy = copyButton("Copy this code", () => content.querySelector("code")?.textContent ?? "", this.copied);
      element.prepend(el("div", { class: "code-head" }, el("span", {}, token.lang || "code"), copy));
    }
    return { type: token.type, raw: token.raw, html, element, content };
  }
}
