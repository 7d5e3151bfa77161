/** The list of saved chats, newest first, or those in which something is found. */

import { deleteChat, savedChats } from "../base/api.js";
import { byId } from "../base/dom.js";
import { forget, keep, recall } from "../base/storage.js";
import { Row } from "./row.js";

/** @typedef {import("../base/api.js").SavedChat} SavedChat */

const CLOCK_MS = 60_000;
const TYPING_MS = 200;
const DELETING = "deletingChats";

export class Sidebar {
  #list = byId("chats", HTMLUListElement);
  #search = byId("search", HTMLInputElement);
  /** The rows shown, by chat. @type {Map<string, Row>} */
  #rows = new Map();
  /** @type {import("./row.js").Deeds} */
  #deeds;
  #current = "";
  #typing = 0;
  #asked = 0;

  /**
   * @param {Pick<import("./row.js").Deeds, "open" | "renamed" | "left">} deeds
   */
  constructor(deeds) {
    this.#deeds = { ...deeds, gone: (id, wrong) => this.#gone(id, wrong), failed: (wrong) => this.#problem(wrong) };
    byId("reload-chats", HTMLButtonElement).addEventListener("click", () => this.refresh());
    this.#search.addEventListener("input", () => {
      clearTimeout(this.#typing);
      this.#typing = window.setTimeout(() => this.refresh(), TYPING_MS);
    });
    this.#search.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !this.#search.value) return;
      event.preventDefault();
      event.stopPropagation();
      this.#search.value = "";
      this.refresh();
    });
    addEventListener("pagehide", () => this.#leave());
    setInterval(() => document.hidden || this.#rows.forEach((row) => row.tick()), CLOCK_MS);
  }

  /** Show the list for the first time. */
  async start() {
    // Deletions of the page before may still be on their way: without them the list would show the dead once more.
    const deleting = JSON.parse(recall(DELETING) ?? "[]");
    await Promise.allSettled(deleting.map(deleteChat));
    forget(DELETING);
    await this.refresh();
  }

  async refresh() {
    const asked = (this.#asked += 1);
    const words = this.#search.value.trim();
    try {
      const chats = await savedChats(words);
      if (asked !== this.#asked) return; // another answer is on its way
      this.#draw(chats);
      this.#problem("");
    } catch {
      if (asked === this.#asked) this.#problem("The saved chats could not be loaded.");
    }
  }

  /**
   * Mark the chat that is open.
   * @param {string} id
   */
  mark(id) {
    this.#current = id;
    for (const [chat, row] of this.#rows) row.mark(chat === id);
  }

  /** @param {string} id */
  title(id) {
    return this.#rows.get(id)?.chat.title;
  }

  /** @param {SavedChat[]} chats */
  #draw(chats) {
    const focused = document.activeElement;
    const rows = new Map(chats.map((chat) => [chat.sessionId, this.#row(chat)]));
    for (const [id, row] of this.#rows) if (row.leaving && !rows.has(id)) row.delete(); // its Undo goes with the row
    this.#rows = rows;
    this.#list.replaceChildren(...[...rows.values()].map(({ element }) => element));
    // Moving a row takes the focus from its buttons.
    if (focused instanceof HTMLElement && this.#list.contains(focused)) focused.focus();
    this.mark(this.#current);
    this.#words(chats.length);
  }

  /** @param {number} found */
  #words(found) {
    const words = this.#search.value.trim();
    this.#search.parentElement?.toggleAttribute("hidden", !found && !words);
    const nothing = byId("nothing-found", HTMLParagraphElement);
    nothing.hidden = found > 0 || !words;
    nothing.textContent = `No chat with “${words}”.`;
  }

  /** @param {SavedChat} chat */
  #row(chat) {
    const row = this.#rows.get(chat.sessionId);
    if (!row) return new Row(chat, this.#deeds);
    if (!row.leaving) row.show(chat);
    return row;
  }

  /** The page goes, and takes its Undo along. */
  #leave() {
    const leaving = [...this.#rows].filter(([, row]) => row.leaving);
    if (leaving.length) keep(DELETING, JSON.stringify(leaving.map(([id]) => id)));
    for (const [, row] of leaving) row.delete();
  }

  /**
   * @param {string} id
   * @param {string} wrong
   */
  async #gone(id, wrong) {
    const focused = this.#rows.get(id)?.element.contains(document.activeElement);
    this.#rows.delete(id);
    await this.refresh();
    if (wrong) this.#problem(wrong);
    if (focused) byId("new-chat", HTMLButtonElement).focus();
  }

  /** @param {string} text empty when there is none */
  #problem(text) {
    byId("chats-problem-text", HTMLSpanElement).textContent = text;
    byId("chats-problem", HTMLParagraphElement).hidden = !text;
    byId("no-chats", HTMLParagraphElement).hidden = text !== "" || this.#rows.size > 0 || this.#search.value.trim() !== "";
  }
}
