/* Figures that were made smaller open at full size; a note of the glossary stands at its word. */
"use strict";

(() => {
  const dialog = document.createElement("dialog");
  dialog.className = "large-figure";
  dialog.setAttribute("aria-label", "The figure at full size");
  dialog.addEventListener("click", () => dialog.close());

  function enlarge(image) {
    const large = image.cloneNode();
    large.className = "";
    large.removeAttribute("width");
    const close = Object.assign(document.createElement("button"), { type: "button", textContent: "Close" });
    dialog.replaceChildren(close, large);
    document.body.append(dialog);
    dialog.showModal();
  }

  // A figure becomes a button where the window is too narrow for it.
  function prepare(image) {
    if (image.closest("button, a, .toy") || image.naturalWidth <= image.clientWidth + 40 || !image.clientWidth) return;
    const button = Object.assign(document.createElement("button"), { type: "button", className: "enlarge", title: "Enlarge" });
    image.replaceWith(button);
    button.append(image);
    button.addEventListener("click", () => enlarge(image));
  }

  function prepareAll() {
    for (const image of document.querySelectorAll(".bd-article img"))
      if (image.complete) prepare(image); else image.addEventListener("load", () => prepare(image), { once: true });
  }
  prepareAll();
  new MutationObserver(prepareAll).observe(document.documentElement, { attributeFilter: ["data-theme"] });

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
