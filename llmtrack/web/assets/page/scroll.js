/** Follows a growing answer, but only while the reader is at its end. */

import { byId } from "../base/dom.js";

const AT_END_PX = 40;

export class Follower {
  #scroller = byId("scroller", HTMLElement);
  #conversation = byId("conversation", HTMLOListElement);
  #button = byId("to-latest", HTMLButtonElement);
  #following = true;
  #top = 0;

  constructor() {
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.#button.addEventListener("click", () => this.toEnd());
    const watch = new ResizeObserver(() => this.#grown());
    watch.observe(this.#scroller);
    for (const child of this.#scroller.children) watch.observe(child);
  }

  /** Go to the end and stay there. */
  toEnd() {
    this.#following = true;
    this.#button.hidden = true;
    if (!this.#atEnd()) this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  /** Before the first message there is no end to go to. */
  #atEnd() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    return !this.#conversation.hasChildNodes() || scrollHeight - scrollTop - clientHeight < 1;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    if (scrollHeight - scrollTop - clientHeight < AT_END_PX) this.#following = true;
    // Not at the end may also mean that text came since: only going back is the reader's wish.
    else if (scrollTop < this.#top) this.#following = false;
    this.#top = scrollTop;
    this.#button.hidden = this.#following || this.#atEnd();
  }

  #grown() {
    // Text that is being selected must not move away under the pointer.
    const selecting = document.getSelection()?.isCollapsed === false;
    if (this.#following && !selecting) this.toEnd();
    else this.#button.hidden = this.#atEnd();
  }
}
