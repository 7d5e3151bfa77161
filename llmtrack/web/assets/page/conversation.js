/** The turns of the chat that is open. */

import { byId } from "../base/dom.js";
import { newId } from "../base/ids.js";
import { Turn } from "../turn/turn.js";

/** @typedef {import("../base/api.js").Message} Message */

export class Conversation {
  #list = byId("conversation", HTMLOListElement);
  #empty = byId("empty", HTMLElement);
  /** @type {Turn[]} */
  #turns = [];
  #chat = "";

  /** @param {import("../turn/turn.js").Wishes} wishes */
  constructor(wishes) {
    this.wishes = wishes;
  }

  /** The turn that has no whole answer yet. */
  get open() {
    return this.#turns.find(({ open }) => open);
  }

  /**
   * Another chat.
   * @param {string} chat
   * @param {Message[]} messages
   */
  show(chat, messages) {
    this.#chat = this.#list.dataset.chatSessionId = chat;
    this.#turns = [];
    this.update(messages);
  }

  /** Nothing: not even the words that invite to begin. */
  blank() {
    this.#empty.hidden = true;
  }

  /**
   * Show what is saved of the chat. Turns that are there already keep their place, their text and what is selected in it.
   * @param {Message[]} messages each prompt, followed by its answer
   */
  update(messages) {
    const known = new Map(this.#turns.map((turn) => [turn.id, turn]));
    this.#turns = messages.flatMap((question, index) => {
      if (question.role !== "user") return [];
      const answer = messages[index + 1]?.role === "assistant" ? messages[index + 1] : undefined;
      const id = question.turn_id ?? newId();
      const turn = known.get(id) ?? new Turn(id, question.text ?? "", this.#chat, this.wishes);
      turn.restore(question, answer);
      return [turn];
    });
    this.#place();
  }

  /**
   * Ask a question at the end of the chat, or instead of an earlier one and all that followed it.
   * @param {string} prompt
   * @param {Turn} [old]
   */
  ask(prompt, old) {
    const turn = new Turn(newId(), prompt, this.#chat, this.wishes);
    if (old) {
      turn.edits = old.known ? old.id : old.edits;
      this.#turns = this.#turns.slice(0, this.#turns.indexOf(old));
    }
    this.#turns.push(turn);
    this.#place();
    return turn;
  }

  /** @param {boolean} busy while an answer is written no other can be asked for */
  busy(busy) {
    this.#list.toggleAttribute("data-busy", busy);
  }

  #place() {
    const wanted = this.#turns.map(({ element }) => element);
    for (const element of [...this.#list.children]) if (!wanted.includes(/** @type {any} */ (element))) element.remove();
    // Moving an element would lose the selection and the focus in it.
    wanted.forEach((element, index) => {
      if (this.#list.children[index] !== element) this.#list.insertBefore(element, this.#list.children[index] ?? null);
    });
    this.#empty.hidden = wanted.length > 0;
  }
}
