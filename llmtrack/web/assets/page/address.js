/** The address bar: each chat has an address of its own, and Back and Forward go between them. */

const CHAT = /^\/chat\/([^/]+)\/?$/;

/** @param {string} id */
export const addressOf = (id) => `/chat/${encodeURIComponent(id)}`;

/** The chat that the address names, or that this entry of the history stood for; empty when there is none. */
export function addressed() {
  const [, name] = CHAT.exec(location.pathname) ?? [];
  try {
    return name ? decodeURIComponent(name) : (history.state?.chat ?? "");
  } catch {
    return "";
  }
}

/**
 * Go to a chat, by a new entry of the history, unless it is the one that is open.
 * @param {string} id
 * @param {string} [path] of a chat that is not saved yet: "/"
 */
export function go(id, path = addressOf(id)) {
  if (addressed() === id) settle(id, path);
  else history.pushState({ chat: id }, "", path);
}

/**
 * Say which chat the present entry stands for.
 * @param {string} id
 * @param {string} [path]
 */
export function settle(id, path = addressOf(id)) {
  history.replaceState({ chat: id }, "", path);
}
