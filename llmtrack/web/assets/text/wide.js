/** What is wider than the column scrolls inside its own box: then the keyboard can reach it, and it says so. */

import { el } from "../base/dom.js";

/** The box that scrolls, for each element whose size decides whether it must. @type {WeakMap<Element, HTMLElement>} */
const boxes = new WeakMap();

// In the next frame: what is said about a width changes heights, which an observer must not do while it observes.
const watch = new ResizeObserver((entries) => requestAnimationFrame(() => {
  for (const { target } of entries) measure(/** @type {HTMLElement} */ (boxes.get(target)));
}));

/** @param {HTMLElement} box */
function measure(box) {
  const overflows = box.scrollWidth > box.clientWidth + 1;
  const frame = /** @type {HTMLElement} */ (box.parentElement);
  if (overflows === "wide" in frame.dataset) return;
  if (overflows) {
    frame.dataset.wide = "";
    box.tabIndex = 0;
    box.setAttribute("role", "group"); // a landmark for each would be too many
    box.setAttribute("aria-label", box.nodeName === "PRE" ? "Code, scrolls sideways" : "Table, scrolls sideways");
  } else {
    delete frame.dataset.wide;
    for (const attribute of ["tabindex", "role", "aria-label"]) box.removeAttribute(attribute);
  }
}

/** @param {HTMLElement} box */
function note(box) {
  const atEnd = Math.abs(box.scrollLeft) + box.clientWidth >= box.scrollWidth - 1;
  box.parentElement?.toggleAttribute("data-at-end", atEnd);
}

/**
 * Put each table into a box of its own, with a line for when it is too wide.
 * @param {ParentNode} root
 */
export function boxTables(root) {
  for (const table of root.querySelectorAll("table")) {
    const scroller = el("div", { class: "table-scroll" });
    const box = el("div", { class: "table-box" }, scroller, el("p", { class: "goes-on" }, "Scroll sideways for more"));
    table.replaceWith(box);
    scroller.append(table);
  }
}

/**
 * Watch the code and the tables of an answer.
 * @param {Element} root
 */
export function watchWide(root) {
  for (const content of root.querySelectorAll("pre > code, .table-scroll > table")) {
    const box = /** @type {HTMLElement} */ (content.parentElement);
    if (boxes.has(content)) continue;
    for (const element of [box, content]) {
      boxes.set(element, box);
      watch.observe(element);
    }
    box.addEventListener("scroll", () => note(box), { passive: true });
  }
}
