/** Buttons that open a dialog: data-opens names it. Escape, its button and a click beside it close it. */

export function dialogs() {
  for (const opener of document.querySelectorAll("[data-opens]")) {
    const dialog = document.getElementById(/** @type {HTMLElement} */ (opener).dataset.opens ?? "");
    if (!(dialog instanceof HTMLDialogElement)) continue;
    opener.addEventListener("click", () => dialog.showModal());
    dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
  }
}
