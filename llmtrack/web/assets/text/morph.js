/**
 * Make one tree look like another while touching as little as possible: nodes that stay keep their identity, and text
 * that only grows keeps the reader's selection inside it.
 */

import { sourceOf } from "./drawn.js";
import { ATTRIBUTES } from "./markdown.js";

/**
 * @param {ParentNode & Node} current what the page shows
 * @param {ParentNode & Node} next what it should show; its nodes may be moved into `current`
 */
export function morph(current, next) {
  const old = [...current.childNodes];
  const fresh = [...next.childNodes];
  fresh.forEach((node, index) => {
    if (index < old.length) morphNode(old[index], node);
    else current.append(node);
  });
  for (const node of old.slice(fresh.length)) node.remove();
}

/**
 * @param {ChildNode} old
 * @param {ChildNode} fresh
 */
function morphNode(old, fresh) {
  if (old instanceof Text && fresh instanceof Text) return retext(old, fresh.data);
  if (!(old instanceof Element && fresh instanceof Element && sameTag(old, fresh))) return old.replaceWith(fresh);
  const source = sourceOf(old);
  if (source === undefined) morph(old, fresh);
  else if (source !== fresh.textContent) old.replaceWith(fresh);
}

/**
 * @param {Text} node
 * @param {string} text
 */
function retext(node, text) {
  let same = 0;
  while (same < node.length && same < text.length && node.data[same] === text[same]) same += 1;
  // replaceData moves only those ends of a selection that lie after `same`; assigning .data would move all of them.
  if (same < node.length || same < text.length) node.replaceData(same, node.length - same, text.slice(same));
}

/**
 * Whether two tags are the same to an answer's markdown; further attributes are states that the page noted.
 * @param {Element} a
 * @param {Element} b
 */
const sameTag = (a, b) =>
  a.nodeName === b.nodeName && [...ATTRIBUTES, "class"].every((name) => a.getAttribute(name) === b.getAttribute(name));
