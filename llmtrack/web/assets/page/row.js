/** One chat of the list: open it, rename it, delete it, and for a while take that back. */

import { deleteChat, renameChat } from "../base/api.js";
import { el, iconButton } from "../base/dom.js";
import { composing } from "../base/keys.js";
import { announce } from "../base/status.js";
import { ago } from "../base/time.js";
import { addressOf } from "./address.js";

/** @typedef {import("../base/api.js").SavedChat} SavedChat */
/**
 * @typedef {object} Deeds what a row tells the list
 * @property {(id: string) => void} open
 * @property {(id: string, title: string) => void} renamed
 * @property {(id: string) => void} left a chat is going to be deleted
 * @property {(id: string, problem: string) => void} gone it is deleted, or could not be
 * @property {(problem: string) => void} failed
 */

const UNDO_MS = 8000;

export class Row {
  element = el("li", { class: "chat" });
  #time = el("time");
  #timer = 0;
  #title = el("span", { class: "chat-title", dir: "auto" });
  #link;
  #rename = iconButton("edit", "Rename", () => this.#askName());
  #delete = iconButton("delete", "Delete", () => this.#offerUndo());

  /**
   * @param {SavedChat} chat
   * @param {Deeds} deeds
   */
  constructor(chat, deeds) {
    this.chat = chat;
    this.deeds = deeds;
    this.#link = el("a", { class: "chat-open", href: addressOf(chat.sessionId) }, this.#title, this.#time);
    this.#link.addEventListener("click", (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return; // another tab or window
      event.preventDefault();
      deeds.open(chat.sessionId);
    });
    this.#link.addEventListener("keydown", (event) => {
      if (event.key === "F2") this.#askName();
      else if (event.key === "Delete") this.#offerUndo();
    });
    this.#rest();
    this.show(chat);
  }

  /** A deletion that can still be taken back. */
  get leaving() {
    return this.#timer !== 0;
  }

  /** @param {SavedChat} chat */
  show(chat) {
    this.chat = chat;
    this.#title.textContent = chat.title;
    this.#time.dateTime = chat.updated_at;
    for (const [button, word] of /** @type {const} */ ([[this.#rename, "Rename"], [this.#delete, "Delete"]])) {
      button.setAttribute("aria-label", `${word} “${chat.title}”`);
      button.title = word;
    }
    this.tick();
  }

  tick() {
    this.#time.textContent = ago(this.#time.dateTime);
  }

  /** @param {boolean} open */
  mark(open) {
    if (open) this.#link.setAttribute("aria-current", "page");
    else this.#link.removeAttribute("aria-current");
  }

  #rest() {
    this.element.replaceChildren(this.#link, this.#rename, this.#delete);
  }

  #askName() {
    const field = el("input", { class: "chat-name", "aria-label": `New name of “${this.chat.title}”`, maxlength: "80", dir: "auto" });
    let over = false;
    /** @param {boolean} save */
    const close = (save) => {
      if (over) return;
      over = true;
      const focused = document.activeElement === field;
      const name = field.value.trim();
      this.#rest();
      if (focused) this.#link.focus();
      if (save && name && name !== this.chat.title) this.#save(name);
    };
    field.value = this.chat.title;
    field.addEventListener("blur", () => close(true));
    field.addEventListener("keydown", (event) => {
      if (composing(event)) return;
      if (event.key === "Escape") event.stopPropagation();
      if (event.key === "Enter" || event.key === "Escape") close(event.key === "Enter");
    });
    this.element.replaceChildren(field);
    field.select();
  }

  /** @param {string} name */
  async #save(name) {
    const before = this.chat;
    this.show({ ...before, title: name });
    try {
      await renameChat(before.sessionId, name);
      this.deeds.renamed(before.sessionId, name);
      announce(`Renamed to “${name}”.`);
    } catch {
      this.show(before);
      this.deeds.failed("The chat could not be renamed.");
    }
  }

  #offerUndo() {
    const { sessionId, title } = this.chat;
    const undo = el("button", { type: "button", class: "link-button" }, "Undo");
    undo.setAttribute("aria-label", `Undo: keep “${title}”`);
    undo.addEventListener("click", () => {
      clearTimeout(this.#timer);
      this.#timer = 0;
      this.#rest();
      this.#link.focus();
      announce(`“${title}” is kept.`);
    });
    this.element.replaceChildren(el("span", { class: "deleted" }, "Deleted"), undo);
    undo.focus();
    this.#timer = window.setTimeout(() => this.delete(), UNDO_MS);
    announce(`“${title}” is deleted.`);
    this.deeds.left(sessionId);
  }

  /** Delete the chat now. */
  async delete() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const { sessionId } = this.chat;
    const failed = await deleteChat(sessionId).then(() => false, () => true);
    this.deeds.gone(sessionId, failed ? "The chat could not be deleted." : "");
  }
}
