/** One turn of a chat: what the reader asked, the answer in all its states, and the tools below it. */

import { el } from "../base/dom.js";
import { AnswerText } from "../text/answer.js";
import { citations, ending, problem } from "./problem.js";
import { Question } from "./question.js";
import { Thinking } from "./thinking.js";
import { copied, toolsOf } from "./tools.js";

/** @typedef {import("../base/api.js").Meta} Meta */
/** @typedef {import("../base/api.js").Answer} Answer */
/** @typedef {import("../base/api.js").Message} Message */
/**
 * @typedef {object} Wishes what the reader may want of a turn
 * @property {(turn: Turn) => void} again the answer once more
 * @property {(turn: Turn, prompt: string) => boolean} edit another question instead; says whether it was asked
 */

export class Turn {
  /** The server knows of this turn, so that asking again asks for another answer. */
  known = false;
  /** The turn in whose place this one stands. @type {string | undefined} */
  edits;
  demo = false;
  untracked = "";
  /** What was last restored, so that the same again changes nothing. */
  #restored = "";
  /** @type {Thinking | null} */
  #thinking = null;

  /**
   * @param {string} id
   * @param {string} prompt
   * @param {string} chatId
   * @param {Wishes} wishes
   */
  constructor(id, prompt, chatId, wishes) {
    this.id = id;
    this.prompt = prompt;
    this.chatId = chatId;
    this.again = () => wishes.again(this);
    this.body = this.#newBody();
    this.answer = el("div", { class: "answer", role: "group", "aria-label": "Answer" });
    const question = new Question(prompt, (text) => wishes.edit(this, text));
    this.element = el("li", { class: "turn" }, el("h2", { class: "visually-hidden" }, "You asked"), question.element, this.answer);
    this.start();
  }

  /** An answer is awaited or written. */
  get open() {
    return this.answer.getAttribute("aria-busy") === "true";
  }

  /** Wait for an answer; one that was there before goes. */
  start() {
    this.#thinking = null;
    this.body = this.#newBody();
    this.answer.replaceChildren(
      this.body.element,
      el("p", { class: "waiting", "aria-hidden": "true" }, el("span"), el("span"), el("span")),
    );
    this.answer.dataset.turnId = this.id;
    this.#state("waiting");
  }

  /**
   * What the server says about the turn before the text comes.
   * @param {Meta} meta
   */
  meta(meta) {
    if (meta.turn_id) {
      this.known = true;
      this.id = this.answer.dataset.turnId = meta.turn_id;
    }
    this.demo = meta.provider === "demo";
    this.untracked = meta.tracked === false ? meta.notice || "This answer was not tracked." : "";
  }

  /** @param {string} text */
  think(text) {
    if (!this.#thinking) {
      this.#thinking = new Thinking();
      this.answer.prepend(this.#thinking.element);
    }
    this.#thinking.add(text);
  }

  /** @param {string} text */
  add(text) {
    this.#thinking?.end();
    this.#state("streaming");
    this.body.add(text);
  }

  /** @param {Answer} answer */
  done(answer) {
    this.meta(answer);
    this.body.show(answer.answer);
    const note = ending(answer);
    this.#state(answer.stopped ? "stopped" : "done");
    if (note) this.#note(note);
    else if (!answer.answer) this.#note("The answer is empty.");
    if (answer.citations?.length) this.answer.append(citations(answer.citations));
    this.#end(answer.thinking_ms);
  }

  /** The reader stopped it: what came so far stays. */
  stop() {
    this.known = true; // asked, even when no word of the server came back
    this.done({ turn_id: this.id, answer: this.body.text, stopped: true, ...this.#said() });
  }

  /**
   * @param {string} message
   * @param {Meta} [meta]
   */
  fail(message, meta = {}) {
    this.meta({ ...this.#said(), ...meta });
    this.body.show();
    this.#state("failed");
    this.answer.append(problem(message, "Try again", this.again));
    this.#end();
  }

  /**
   * Show what a saved chat says of the turn. It may be half of an answer that is being written just now.
   * @param {Message} question
   * @param {Message} [answer]
   */
  restore(question, answer) {
    const said = JSON.stringify([question, answer]);
    if (said === this.#restored) return;
    const writing = answer ? answer.writing : question.writing;
    this.#restored = said;
    if (answer && !writing && this.#shows(answer)) return;
    if (!this.open) this.start();
    this.meta(answer ?? question);
    if (answer?.thinking && !this.#thinking) this.think(answer.thinking);
    const text = answer?.text ?? "";
    if (writing) {
      if (text) this.#state("streaming");
      return this.body.show(text, false);
    }
    if (!answer) return this.fail("This message got no answer.", question);
    this.body.show(text, false);
    if (answer.error) this.fail(answer.error, answer);
    else this.done({ ...answer, answer: text });
  }

  /**
   * Whether the page shows this answer already: drawing it again would end a selection in it.
   * @param {Message} answer
   */
  #shows({ text = "", error, stopped }) {
    const state = error ? "failed" : stopped ? "stopped" : "done";
    return this.answer.dataset.state === state && this.body.text === text;
  }

  /** What is known of the turn by now, for an ending of which the server says nothing. */
  #said() {
    const { demo, untracked, known, id } = this;
    const meta = { provider: demo ? "demo" : "", tracked: !untracked, notice: untracked };
    return known ? { ...meta, turn_id: id } : meta;
  }

  #newBody() {
    return new AnswerText((text) => copied(this, text));
  }

  /** @param {"waiting" | "streaming" | "done" | "stopped" | "failed"} state */
  #state(state) {
    this.answer.dataset.state = state;
    this.answer.setAttribute("aria-busy", String(state === "waiting" || state === "streaming"));
  }

  /** @param {string} text */
  #note(text) {
    this.answer.append(el("p", { class: "note" }, text));
  }

  /** @param {number} [thinkingMs] */
  #end(thinkingMs) {
    this.#thinking?.end(thinkingMs);
    if (this.untracked) this.answer.append(el("p", { class: "note untracked" }, this.untracked));
    const state = this.answer.dataset.state;
    const tools = toolsOf(this, { again: state !== "failed", rate: state === "done", demo: this.demo });
    if (tools) this.answer.append(tools);
  }
}
