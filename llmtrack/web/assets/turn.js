/** One turn of a chat: what the reader asked, the answer in all its states, and the tools below it. */

import { AnswerText } from "./answer.js";
import { copyButton } from "./clipboard.js";
import { el, icon, iconButton } from "./dom.js";
import { announce } from "./status.js";
import { pageUrl, track, trackingSessionId } from "./tracking.js";

/** @typedef {import("./api.js").Meta} Meta */
/** @typedef {import("./api.js").Answer} Answer */

export class Turn {
  /** The server knows of this turn, so that asking again must not count as a new prompt. */
  known = false;
  #turnId = "";

  /**
   * @param {string} prompt
   * @param {string} chatId
   * @param {(turn: Turn) => void} again asked for when the reader wants the answer once more
   */
  constructor(prompt, chatId, again) {
    this.prompt = prompt;
    this.chatId = chatId;
    this.again = () => again(this);
    this.answer = el("section", { class: "answer", "aria-label": "Answer" });
    this.element = el(
      "li",
      { class: "turn" },
      el("h2", { class: "visually-hidden" }, "You asked"),
      el("p", { class: "question", dir: "auto" }, prompt),
      this.answer,
    );
    this.start();
  }

  /** Wait for an answer; one that was there before goes. */
  start() {
    this.#turnId = "";
    delete this.answer.dataset.turnId;
    this.body = new AnswerText((text) => this.#copied(text));
    this.answer.replaceChildren(
      this.body.element,
      el("p", { class: "waiting", "aria-hidden": "true" }, el("span"), el("span"), el("span")),
    );
    this.#state("waiting");
  }

  /**
   * What the server says about the turn before the text comes.
   * @param {Meta} meta
   */
  meta(meta) {
    if (meta.turn_id) {
      this.known = true;
      this.#turnId = this.answer.dataset.turnId = meta.turn_id;
    }
    this.demo = meta.provider === "demo";
    if (meta.tracked === false) this.untracked = meta.notice || "This answer was not tracked.";
    else this.untracked = "";
  }

  /** @param {string} text */
  add(text) {
    this.#state("streaming");
    this.body?.add(text);
  }

  /** @param {Answer} answer */
  done(answer) {
    this.meta(answer);
    this.body?.show(answer.answer);
    this.#state("done");
    if (!answer.answer) this.answer.append(el("p", { class: "note" }, "The answer is empty."));
    if (answer.citations?.length) this.answer.append(citations(answer.citations));
    this.#end();
  }

  /** The reader stopped it: what came so far stays. */
  stop() {
    this.known = true; // asked, even when no word of the server came back
    this.body?.show();
    this.#state("stopped");
    this.answer.append(el("p", { class: "note" }, "Stopped."));
    this.#end();
  }

  /**
   * @param {string} message
   * @param {Meta} [meta]
   */
  fail(message, meta = {}) {
    this.meta({ ...meta, turn_id: meta.turn_id ?? this.#turnId });
    this.body?.show();
    this.#state("failed");
    this.answer.append(problem(message, "Try again", this.again));
    this.#end();
  }

  /**
   * Show the answer of a saved chat.
   * @param {import("./api.js").Message} message
   */
  restore(message) {
    this.meta(message);
    const { text = "", error, partial } = message;
    if (!error && !partial) return this.done({ ...message, answer: text });
    this.add(text);
    if (error) this.fail(error);
    else this.stop();
  }

  /** @param {"waiting" | "streaming" | "done" | "stopped" | "failed"} state */
  #state(state) {
    this.answer.dataset.state = state;
    this.answer.setAttribute("aria-busy", String(state === "waiting" || state === "streaming"));
  }

  #end() {
    if (this.untracked) this.answer.append(el("p", { class: "note untracked" }, this.untracked));
    const state = this.answer.dataset.state;
    const tools = el("div", { class: "tools", role: "group", "aria-label": "About this answer" });
    if (this.body?.text) tools.append(copyButton("Copy", () => this.body?.text ?? "", (text) => this.#copied(text)));
    if (state !== "failed") tools.append(iconButton("again", "Answer again", this.again));
    if (state === "done") tools.append(...this.#thumbs());
    if (this.demo) tools.append(el("span", { class: "demo-answer" }, "Demo, not a model"));
    if (tools.hasChildNodes()) this.answer.append(tools);
  }

  #thumbs() {
    /** @type {["up" | "down", string][]} */
    const ratings = [["up", "Good answer"], ["down", "Bad answer"]];
    const buttons = ratings.map(([rating, label]) => {
      const button = iconButton(rating, label, () => {
        if (trackingSessionId() === null) return this.#unheard();
        for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
        track("feedback", { rating, ...this.#ids() });
        announce("Thank you.");
      });
      button.setAttribute("aria-pressed", "false");
      return button;
    });
    return buttons;
  }

  #unheard() {
    this.answer.querySelector(".unheard")?.remove();
    const note = el("p", { class: "note unheard", role: "status" });
    this.answer.append(note);
    note.textContent = "Not sent: this visit is not tracked.";
  }

  /** @param {string} text */
  #copied(text) {
    track("copy", { selected_text: text, page_url: pageUrl(), button: true, ...this.#ids() });
  }

  #ids() {
    return { turn_id: this.#turnId, chat_session_id: this.chatId };
  }
}

/**
 * What went wrong, and a button that tries again.
 * @param {string} message
 * @param {string} label
 * @param {() => void} retry
 */
export function problem(message, label, retry) {
  const button = el("button", { type: "button", class: "retry" }, label);
  button.addEventListener("click", retry);
  return el("div", { class: "problem", role: "alert" }, icon("alert"), el("p", {}, message), button);
}

/** @param {import("./api.js").Citation[]} sources */
function citations(sources) {
  const items = sources.map(({ title, url }) => {
    const parsed = URL.parse(url);
    const text = title || parsed?.hostname || url;
    const web = parsed?.protocol === "https:" || parsed?.protocol === "http:";
    if (!web) return el("li", {}, text);
    return el("li", {}, el("a", { href: url, target: "_blank", rel: "noopener noreferrer", title: url }, text));
  });
  return el("section", { class: "citations", "aria-label": "Sources" }, el("h3", {}, "Sources"), el("ol", {}, ...items));
}
