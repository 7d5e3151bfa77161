/** On a phone the list of chats is a drawer over the page; what lies behind it is out of reach meanwhile. */

import { byId } from "../base/dom.js";

const PHONE = "(max-width: 48rem)";

export class Drawer {
  #phone = matchMedia(PHONE);
  #sidebar = byId("sidebar", HTMLElement);
  #page = byId("page", HTMLDivElement);
  #opener = byId("open-sidebar", HTMLButtonElement);

  constructor() {
    this.#opener.addEventListener("click", () => this.#set(true));
    byId("close-sidebar", HTMLButtonElement).addEventListener("click", () => this.close());
    byId("scrim", HTMLDivElement).addEventListener("click", () => this.close());
    this.#phone.addEventListener("change", () => this.#set(false));
    this.#set(false);
  }

  get open() {
    return document.body.classList.contains("drawer-open");
  }

  close() {
    if (!this.open) return;
    this.#set(false);
    this.#opener.focus();
  }

  /** @param {boolean} open */
  #set(open) {
    document.body.classList.toggle("drawer-open", open);
    this.#opener.setAttribute("aria-expanded", String(open));
    this.#sidebar.inert = this.#phone.matches && !open;
    this.#page.inert = open;
    if (open) byId("close-sidebar", HTMLButtonElement).focus();
  }
}
