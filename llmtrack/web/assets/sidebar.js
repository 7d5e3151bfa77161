/** The list of saved chats. A deleted chat leaves a row that can take it back for a while. */

import { deleteChat, savedChats } from "./api.js";
import { byId, el, iconButton } from "./dom.js";
import { announce } from "./status.js";
import { ago } from "./time.js";

/** @typedef {import("./api.js").SavedChat} SavedChat */

const UNDO_MS = 8000;
const CLOCK_MS = 60_000;
const DELETING = "deletingChats";

export class Sidebar {
  #list = byId("chats", HTMLUListElement);
  /** @type {SavedChat[]} */
  #chats = [];
  /** The rows shown, by chat. @type {Map<string, HTMLLIElement>} */
  #rows = new Map();
  /** Deletions that can still be taken back: their timers, by chat. @type {Map<string, number>} */
  #leaving = new Map();
  #current = "";

  /**
   * @param {(id: string) => void} open
   * @param {(id: string) => void} left told at once when a chat is deleted
   */
  constructor(open, left) {
    this.open = open;
    this.left = left;
    byId("reload-chats", HTMLButtonElement).addEventListener("click", () => this.refresh());
    addEventListener("pagehide", () => this.#leave());
    document.addEventListener("visibilitychange", () => document.hidden || this.refresh()); // another tab may have chatted
    setInterval(() => this.#tick(), CLOCK_MS);
  }

  /** Show the list for the first time. */
  async start() {
    // Deletions of the page before may still be on their way: without them the list would show the dead once more.
    const deleting = JSON.parse(sessionStorage.getItem(DELETING) ?? "[]");
    await Promise.allSettled(deleting.map(deleteChat));
    sessionStorage.removeItem(DELETING);
    await this.refresh();
  }

  async refresh() {
    try {
      this.#chats = await savedChats();
      this.#problem("");
    } catch {
      this.#problem("The saved chats could not be loaded.");
    }
    this.#draw();
  }

  /**
   * Mark the chat that is open.
   * @param {string} id
   */
  mark(id) {
    this.#current = id;
    for (const [chat, row] of this.#rows) {
      const button = row.querySelector(".chat-open");
      if (chat === id) button?.setAttribute("aria-current", "true");
      else button?.removeAttribute("aria-current");
    }
  }

  /** @param {string} id */
  title(id) {
    return this.#chats.find(({ sessionId }) => sessionId === id)?.title;
  }

  #draw() {
    const focused = document.activeElement;
    const rows = new Map();
    for (const chat of this.#chats) rows.set(chat.sessionId, this.#row(chat));
    this.#rows = rows;
    this.#list.replaceChildren(...rows.values());
    // Moving a row takes the focus from its buttons.
    if (focused instanceof HTMLElement && this.#list.contains(focused)) focused.focus();
    this.mark(this.#current);
  }

  /** @param {SavedChat} chat */
  #row(chat) {
    const row = this.#rows.get(chat.sessionId);
    if (!row) return this.#build(chat);
    const title = row.querySelector(".chat-title");
    if (title && title.textContent !== chat.title) return this.#build(chat);
    const time = row.querySelector("time");
    if (time) setTime(time, chat.updated_at);
    return row;
  }

  /** @param {SavedChat} chat */
  #build({ sessionId, title, updated_at }) {
    const time = el("time");
    setTime(time, updated_at);
    const open = el("button", { type: "button", class: "chat-open" }, el("span", { class: "chat-title", dir: "auto" }, title), time);
    open.addEventListener("click", () => this.open(sessionId));
    const row = el("li", { class: "chat" }, open);
    row.append(iconButton("delete", `Delete “${title}”`, () => this.#offerUndo(sessionId, title, row)));
    return row;
  }

  /**
   * @param {string} id
   * @param {string} title
   * @param {HTMLLIElement} row
   */
  #offerUndo(id, title, row) {
    const parts = [...row.childNodes];
    const undo = el("button", { type: "button", class: "link-button" }, "Undo");
    undo.setAttribute("aria-label", `Undo: keep “${title}”`);
    undo.addEventListener("click", () => {
      clearTimeout(this.#leaving.get(id));
      this.#leaving.delete(id);
      row.replaceChildren(...parts);
      row.querySelector("button")?.focus();
      announce(`“${title}” is kept.`);
    });
    row.replaceChildren(el("span", { class: "deleted" }, "Deleted"), undo);
    undo.focus();
    this.#leaving.set(id, window.setTimeout(() => this.#delete(id), UNDO_MS));
    announce(`“${title}” is deleted.`);
    this.left(id);
  }

  /** The page goes, and takes its Undo along. */
  #leave() {
    const ids = [...this.#leaving.keys()];
    if (ids.length) sessionStorage.setItem(DELETING, JSON.stringify(ids));
    ids.forEach((id) => this.#delete(id));
  }

  /** @param {string} id */
  async #delete(id) {
    clearTimeout(this.#leaving.get(id));
    this.#leaving.delete(id);
    const focused = this.#rows.get(id)?.contains(document.activeElement);
    const failed = await deleteChat(id).then(() => false, () => true);
    this.#rows.delete(id);
    await this.refresh();
    if (failed) this.#problem("The chat could not be deleted.");
    if (focused) byId("new-chat", HTMLButtonElement).focus();
  }

  /** @param {string} text empty when there is none */
  #problem(text) {
    byId("chats-problem-text", HTMLSpanElement).textContent = text;
    byId("chats-problem", HTMLParagraphElement).hidden = !text;
    byId("no-chats", HTMLParagraphElement).hidden = text !== "" || this.#chats.length > 0;
  }

  #tick() {
    if (document.hidden) return;
    for (const time of this.#list.querySelectorAll("time")) setTime(time, time.dateTime);
  }
}

/**
 * @param {HTMLTimeElement} time
 * @param {string} iso
 */
function setTime(time, iso) {
  time.dateTime = iso;
  time.textContent = ago(iso);
}
