/** Ids made in the browser, of 122 or 128 random bits. */

/** crypto.randomUUID is missing where the page is served over plain http from another machine. */
export function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
