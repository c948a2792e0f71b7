/* The page of progress: what was read and solved in this browser. CONTENTS is written by ext/answers.py. */
"use strict";

(() => {
  const place = document.getElementById("progress");

  function row({ page, title, exercises }) {
    const name = page.split("/").pop(), { solved, read } = Exercises.record();
    const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: Boolean(read[name]), id: `read-${name}` });
    box.setAttribute("aria-label", `read: ${title}`);
    box.addEventListener("change", () => { Exercises.note("read", name, box.checked); draw(); });
    const link = Object.assign(document.createElement("a"), { href: `../../${page}.html`, textContent: title });
    const done = exercises.filter((each) => solved[each]);
    const line = document.createElement("tr"), cells = [box, link,
      exercises.length ? `${done.length} of ${exercises.length}${done.length ? ` (${done.join(", ")})` : ""}` : "none"];
    for (const cell of cells) line.insertCell().append(cell);
    return line;
  }

  function draw() {
    const { solved, read } = Exercises.record(), all = CONTENTS.flatMap(({ exercises }) => exercises);
    const pages = CONTENTS.filter(({ page }) => read[page.split("/").pop()]).length, done = all.filter((each) => solved[each]).length;
    const table = document.createElement("table"), head = table.createTHead().insertRow();
    table.className = "table";
    for (const name of ["read", "page", "solved here"]) head.append(Object.assign(document.createElement("th"), { textContent: name, scope: "col" }));
    table.createTBody().append(...CONTENTS.map(row));
    const line = Object.assign(document.createElement("p"), { className: "progress-line",
      textContent: `${pages} of ${CONTENTS.length} pages read, ${done} of ${all.length} exercises solved in this book.` });
    line.setAttribute("role", "status");
    const bar = Object.assign(document.createElement("progress"), { max: CONTENTS.length + all.length, value: pages + done });
    bar.setAttribute("aria-label", "pages and exercises done");
    const again = Object.assign(document.createElement("button"), { type: "button", textContent: "Forget all of it" });
    again.addEventListener("click", () => { if (confirm("Forget what was read and solved?")) { localStorage.removeItem("radar-book"); draw(); } });
    place.replaceChildren(line, bar, table, again);
  }
  draw();
})();
