/** Keys as the reader means them. */

const COMPOSING = 229; // what Safari says of the key that ends a composition, after it has ended

/**
 * Whether a key belongs to an input method (Japanese, Chinese, …), which takes Enter and Escape for its own list.
 * @param {KeyboardEvent} event
 */
export const composing = (event) => event.isComposing || event.keyCode === COMPOSING;

/** A finger's keyboard has no Shift+Enter: there, Enter makes a line. */
export const touch = matchMedia("(hover: none) and (pointer: coarse)");
