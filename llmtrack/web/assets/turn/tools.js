/** The buttons under an answer. */

import { copyButton } from "../base/clipboard.js";
import { el, iconButton } from "../base/dom.js";
import { announce } from "../base/status.js";
import { pageUrl, track, trackingSessionId } from "../base/tracking.js";

/** @typedef {import("./turn.js").Turn} Turn */

/**
 * @param {Turn} turn
 * @param {{again: boolean, rate: boolean, demo: boolean}} which
 * @returns {HTMLElement | null} null when there is nothing to do
 */
export function toolsOf(turn, { again, rate, demo }) {
  const tools = el("div", { class: "tools", role: "group", "aria-label": "About this answer" });
  if (turn.body.text) tools.append(copyButton("Copy", () => turn.body.text, (text) => copied(turn, text)));
  if (again) tools.append(iconButton("again", "Answer again", turn.again));
  if (rate) tools.append(...thumbs(turn));
  if (demo) tools.append(el("span", { class: "demo-answer" }, "Demo, not a model"));
  return tools.hasChildNodes() ? tools : null;
}

/**
 * @param {Turn} turn
 * @param {string} text
 */
export function copied(turn, text) {
  track("copy", { selected_text: text, page_url: pageUrl(), button: true, ...ids(turn) });
}

/** @param {Turn} turn */
const ids = ({ id, chatId }) => ({ turn_id: id, chat_session_id: chatId });

/** @param {Turn} turn */
function thumbs(turn) {
  /** @type {["up" | "down", string][]} */
  const ratings = [["up", "Good answer"], ["down", "Bad answer"]];
  const buttons = ratings.map(([rating, label]) => {
    const button = iconButton(rating, label, () => {
      if (trackingSessionId() === null) return unheard(turn);
      for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      track("feedback", { rating, ...ids(turn) });
      announce("Thank you.");
    });
    button.setAttribute("aria-pressed", "false");
    return button;
  });
  return buttons;
}

/** @param {Turn} turn */
function unheard({ answer }) {
  answer.querySelector(".unheard")?.remove();
  const note = el("p", { class: "note unheard", role: "status" });
  answer.append(note);
  note.textContent = "Not sent: this session is not tracked.";
}
