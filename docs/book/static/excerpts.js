/* Under each result of the search, the sentence in which the word stands. EXCERPTS is written by ext/excerpts.py. */
"use strict";

(() => {
  const words = (new URLSearchParams(location.search).get("q") || "").toLowerCase().split(/\s+/).filter((word) => word.length > 1);

  // Where the first of the words stands: also a part of it, since the search takes endings off.
  function find(text) {
    const lower = text.toLowerCase(), places = words.flatMap((word) => [word, word.slice(0, Math.max(4, word.length - 3))])
      .map((word) => [lower.indexOf(word), word.length]).filter(([at]) => at >= 0);
    return places.length ? places[0] : null;
  }

  function excerpt(page, anchor) {
    const sections = EXCERPTS[page] || [];
    const sorted = [...sections.filter(([name]) => name === anchor), ...sections.filter(([name]) => name !== anchor)];
    const hit = sorted.find(([, text]) => find(text));
    if (!hit) return null;
    const [at, length] = find(hit[1]), from = Math.max(0, at - 90), to = at + length + 130;
    const start = from ? hit[1].indexOf(" ", from) + 1 : 0, end = hit[1].lastIndexOf(" ", to);
    const line = document.createElement("p"), mark = document.createElement("mark");
    line.className = "excerpt";
    mark.textContent = hit[1].slice(at, at + length);
    line.append(start ? "… " : "", hit[1].slice(Math.min(start, at), at), mark, hit[1].slice(at + length, Math.max(end, at + length)), " …");
    return line;
  }

  function add() {
    for (const result of document.querySelectorAll("#search-results ul.search > li:not([data-excerpt])")) {
      const link = result.querySelector("a");
      if (!link) continue;
      result.dataset.excerpt = "tried";
      const root = new URL(".", location.href).href, url = new URL(link.href);
      const line = excerpt(decodeURI(url.href.split(/[?#]/)[0].slice(root.length)).replace(/\.html$/, ""), url.hash.slice(1));
      if (line) result.append(line);
    }
  }
  new MutationObserver(add).observe(document.getElementById("search-results"), { childList: true, subtree: true });
  add();
})();
