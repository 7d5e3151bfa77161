/** What the tab remembers over a reload: sessionStorage, or only this page's memory where the browser refuses it. */

/** @type {Map<string, string>} */
const memory = new Map();

/** @param {string} key */
export function recall(key) {
  try {
    return sessionStorage.getItem(key);
  } catch {
    return memory.get(key) ?? null;
  }
}

/**
 * @param {string} key
 * @param {string} value
 */
export function keep(key, value) {
  try {
    sessionStorage.setItem(key, value);
  } catch {
    memory.set(key, value);
  }
}

/** @param {string} key */
export function forget(key) {
  try {
    sessionStorage.removeItem(key);
  } catch {
    memory.delete(key);
  }
}
