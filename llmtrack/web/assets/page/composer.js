/**
 * The message box: Enter sends, Shift+Enter starts a line (as Enter does on a phone), and Send turns into Stop while an
 * answer is written.
 */

import { byId } from "../base/dom.js";
import { composing, touch } from "../base/keys.js";

export class Composer {
  #form = byId("composer", HTMLFormElement);
  #prompt = byId("prompt", HTMLTextAreaElement);
  #send = byId("send", HTMLButtonElement);
  #stop = byId("stop", HTMLButtonElement);
  #busy = false;

  /**
   * @param {(prompt: string) => void} send
   * @param {() => void} stop
   */
  constructor(send, stop) {
    if (touch.matches) this.#prompt.enterKeyHint = "enter";
    this.#prompt.addEventListener("input", () => this.#fit());
    this.#prompt.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || touch.matches || composing(event)) return;
      event.preventDefault();
      this.#form.requestSubmit();
    });
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      const prompt = this.#prompt.value.trim();
      if (!prompt || this.#busy) return;
      this.#prompt.value = "";
      this.#fit();
      send(prompt);
    });
    this.#stop.addEventListener("click", () => {
      stop();
      this.focus();
    });
  }

  /** @param {boolean} busy an answer is being written */
  busy(busy) {
    const focused = document.activeElement === this.#send || document.activeElement === this.#stop;
    this.#busy = busy;
    this.#send.hidden = busy;
    this.#stop.hidden = !busy;
    if (focused) this.focus();
  }

  /** Focus the box, unless that would bring up a keyboard that covers the chat. */
  focus() {
    if (matchMedia("(hover: hover)").matches) this.#prompt.focus();
  }

  #fit() {
    this.#send.disabled = !this.#prompt.value.trim();
    this.#prompt.style.height = "auto";
    this.#prompt.style.height = `${this.#prompt.scrollHeight}px`;
  }
}
