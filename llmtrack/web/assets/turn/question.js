/** What the reader asked, and the box in which it can be asked anew. */

import { el, iconButton } from "../base/dom.js";
import { composing, touch } from "../base/keys.js";

export class Question {
  #text;
  /** @type {HTMLFormElement | null} */
  #form = null;

  /**
   * @param {string} text
   * @param {(text: string) => boolean} ask asked with the new text; says whether it was sent
   */
  constructor(text, ask) {
    this.#text = text;
    this.ask = ask;
    this.#edit = iconButton("edit", "Edit this message", () => this.#open());
    this.#bubble = el("p", { class: "question", dir: "auto" }, text);
    this.element = el("div", { class: "asked" }, this.#bubble, this.#edit);
  }

  #edit;
  #bubble;

  #open() {
    const box = el("textarea", { "aria-label": "Edit your message", dir: "auto", rows: "1", maxlength: "32000" });
    const cancel = el("button", { type: "button", class: "plain-button" }, "Cancel");
    const send = el("button", { type: "submit", class: "main-button" }, "Send");
    const note = el("p", { class: "edit-note" }, "What follows in this chat will be replaced.");
    const form = (this.#form = el("form", { class: "edit-form" }, box, el("div", { class: "edit-foot" }, note, cancel, send)));
    const fit = () => {
      send.disabled = !box.value.trim();
      box.style.height = "auto";
      box.style.height = `${box.scrollHeight}px`;
    };
    box.value = this.#text;
    box.addEventListener("input", fit);
    box.addEventListener("keydown", (event) => this.#key(event));
    cancel.addEventListener("click", () => this.#close());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const text = box.value.trim();
      if (text && text === this.#text) this.#close();
      else if (text) this.ask(text);
    });
    this.element.replaceChildren(form);
    fit();
    box.focus();
    box.setSelectionRange(box.value.length, box.value.length);
    form.scrollIntoView({ block: "nearest" });
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (composing(event)) return;
    if (event.key === "Escape") {
      event.stopPropagation(); // it closes this box, and stops no answer
      this.#close();
    } else if (event.key === "Enter" && !event.shiftKey && !touch.matches) {
      event.preventDefault();
      this.#form?.requestSubmit();
    }
  }

  #close() {
    this.#form = null;
    this.element.replaceChildren(this.#bubble, this.#edit);
    this.#edit.focus();
  }
}
