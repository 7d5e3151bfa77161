/** Addresses out of texts that others wrote. */

const WEB = ["http:", "https:"];

/**
 * The absolute address in a text, or null when it is none or of another scheme. URL.parse would be shorter, but browsers
 * of 2023 lack it.
 * @param {string} text
 * @param {string[]} schemes
 */
export function address(text, schemes = WEB) {
  try {
    const url = new URL(text);
    return schemes.includes(url.protocol) ? url : null;
  } catch {
    return null;
  }
}
