/* Figures that were made smaller open at full size; a note of the glossary stands at its word. */
"use strict";

(() => {
  const dialog = document.createElement("dialog");
  dialog.className = "large-figure";
  dialog.setAttribute("aria-label", "The figure at full size");
  dialog.addEventListener("click", () => dialog.close());

  function enlarge(image) {
    const large = image.cloneNode(true);
    if (image.matches("svg")) large.style.width = "820px"; // a drawing has no size of its own
    else large.className = "";
    const close = Object.assign(document.createElement("button"), { type: "button", textContent: "Close" });
    dialog.replaceChildren(close, large);
    document.body.append(dialog);
    dialog.showModal();
  }

  // A figure becomes a button where the window is too narrow for it.
  function prepare(image) {
    const shown = image.getBoundingClientRect().width, full = image.naturalWidth || 600;
    if (image.closest("button, a, .toy") || !shown || full <= shown + 40) return;
    const button = Object.assign(document.createElement("button"), { type: "button", className: "enlarge", title: "Enlarge" });
    image.replaceWith(button);
    button.append(image);
    button.addEventListener("click", () => enlarge(image));
  }

  function prepareAll() {
    for (const image of document.querySelectorAll(".bd-article img, .bd-article svg.drawing"))
      if (image.complete !== false) prepare(image); else image.addEventListener("load", () => prepare(image), { once: true });
  }
  prepareAll();
  new MutationObserver(prepareAll).observe(document.documentElement, { attributeFilter: ["data-theme"] });

  // What scrolls by itself can be reached with the keyboard.
  for (const wide of document.querySelectorAll(".equation, .bd-article .cell_output"))
    if (wide.scrollWidth > wide.clientWidth) wide.tabIndex = 0;

  // Paper is white: a dark page is printed light.
  const root = document.documentElement;
  let theme = null;
  addEventListener("beforeprint", () => { theme = root.dataset.theme; root.dataset.theme = "light"; });
  addEventListener("afterprint", () => { root.dataset.theme = theme || root.dataset.theme; });

  for (const word of document.querySelectorAll("button.term")) word.addEventListener("click", () => {
    const note = document.getElementById(word.getAttribute("popovertarget")), box = word.getBoundingClientRect();
    const width = Math.min(360, innerWidth - 24);
    Object.assign(note.style, { inset: "auto", width: `${width}px`, margin: 0,
      left: `${Math.max(12, Math.min(box.left, innerWidth - width - 12))}px`, top: `${box.bottom + 6}px` });
    requestAnimationFrame(() => { // above the word where there is no room below it
      const height = note.offsetHeight;
      if (box.bottom + 6 + height > innerHeight) note.style.top = `${Math.max(6, box.top - 6 - height)}px`;
    });
  });
})();
