/** Builds page elements. Text is always set as text, never as HTML. */

const ICONS = "/assets/vendor/lucide/icons.svg";
const SVG = "http://www.w3.org/2000/svg";

/**
 * An element with attributes and children.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/**
 * An icon of the sprite, hidden from screen readers.
 * @param {string} name
 */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `${ICONS}#${name}`);
  svg.append(use);
  return svg;
}

/**
 * A button that shows an icon and says its label to screen readers and on hover.
 * @param {string} name the icon
 * @param {string} label
 * @param {() => void} press
 */
export function iconButton(name, label, press) {
  const button = el("button", { type: "button", class: `icon-button ${name}` }, icon(name));
  relabel(button, name, label);
  button.addEventListener("click", press);
  return button;
}

/**
 * Change what an icon button shows and says.
 * @param {HTMLButtonElement} button
 * @param {string} name
 * @param {string} label
 */
export function relabel(button, name, label) {
  button.querySelector("use")?.setAttribute("href", `${ICONS}#${name}`);
  button.setAttribute("aria-label", label);
  button.title = label;
}

/**
 * The element of the page with this id; the page is broken without it.
 * @template {HTMLElement} Type
 * @param {string} id
 * @param {new () => Type} type
 * @returns {Type}
 */
export function byId(id, type) {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new Error(`The page has no ${type.name} #${id}`);
  return element;
}
