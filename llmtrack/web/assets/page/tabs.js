/**
 * The page's other tabs. They hear when a chat changes; and a tab that was duplicated, which has its original's memory,
 * hears from the original that it is not alone.
 */

import { newId } from "../base/ids.js";
import { keep, recall } from "../base/storage.js";

const TAB = "tab";
const page = newId();

/** @typedef {{changed: string} | {tab: string, from: string} | {twin: string}} Word */

export class Tabs {
  /** @type {BroadcastChannel | null} */
  #channel = null;
  #tab = recall(TAB) ?? newId();

  /**
   * @param {(chat: string) => void} changed
   * @param {() => void} twin this tab is a copy of another one
   */
  constructor(changed, twin) {
    this.changed = changed;
    this.twin = twin;
    this.#open();
    // a page in the back/forward cache must not answer
    addEventListener("pagehide", () => this.#channel?.close());
    addEventListener("pageshow", ({ persisted }) => persisted && this.#open());
  }

  /**
   * Tell the other tabs that a chat changed.
   * @param {string} chat
   */
  tell(chat) {
    this.#say({ changed: chat });
  }

  #open() {
    keep(TAB, this.#tab);
    try {
      this.#channel = new BroadcastChannel("llmtrack:chat");
    } catch {
      return; // the browser refuses, as it does with storage: then this tab is alone
    }
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    this.#say({ tab: this.#tab, from: page });
  }

  /** @param {Word} word */
  #hear(word) {
    if ("changed" in word) this.changed(word.changed);
    else if ("tab" in word && word.tab === this.#tab) this.#say({ twin: word.from });
    else if ("twin" in word && word.twin === page) {
      keep(TAB, (this.#tab = newId()));
      this.twin();
    }
  }

  /** @param {Word} word */
  #say(word) {
    try {
      this.#channel?.postMessage(word);
    } catch {
      // closed while the page is left
    }
  }
}
