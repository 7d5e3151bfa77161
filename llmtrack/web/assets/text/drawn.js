/**
 * Elements whose inside the page made from a text: a formula, coloured code, the head of a code block. They are compared
 * by that text and never looked into.
 */

/** @type {WeakMap<Element, string>} */
const sources = new WeakMap();

/**
 * The text that an element was drawn from; undefined when it was not drawn.
 * @param {Element} element
 */
export const sourceOf = (element) => sources.get(element);

/**
 * @template {Element} Type
 * @param {Type} element
 * @param {string} source
 */
export function drawn(element, source) {
  sources.set(element, source);
  return element;
}
