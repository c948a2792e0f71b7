/* Exercises that the page checks by itself, and the record of what was solved and read, in this browser only.
   The answers come from radar_nb/teaching/exercises, compiled by ext/answers.py. */
"use strict";

const Exercises = (() => {
  const KEPT = "radar-book";

  // What was solved and read. Where a browser keeps nothing, each page begins anew.
  function record() {
    try {
      return { solved: {}, read: {}, ...JSON.parse(localStorage.getItem(KEPT)) };
    } catch {
      return { solved: {}, read: {} };
    }
  }

  function note(kind, name, value = true) {
    const all = record();
    all[kind][name] = value;
    try { localStorage.setItem(KEPT, JSON.stringify(all)); } catch { /* nothing is kept */ }
  }

  // FNV-1a, 64 bits: enough to keep an answer out of sight.
  function hashed(text) {
    let value = 0xcbf29ce484222325n;
    for (const byte of new TextEncoder().encode(text))
      value = BigInt.asUintN(64, (value ^ BigInt(byte)) * 0x100000001b3n);
    return value.toString(16).padStart(16, "0");
  }

  function unscrambled(text, key) {
    const secret = new TextEncoder().encode(key);
    const bytes = Uint8Array.from(atob(text), (letter, i) => letter.charCodeAt(0) ^ secret[i % secret.length]);
    return JSON.parse(new TextDecoder().decode(bytes));
  }

  // The one number that a text is, or NaN: 12, 0.5, 0,5, 1,000, 5 %, 2/3.
  function number(text) {
    let plain = text.trim().replace(/\s*%$/, "");
    if (/^[-+]?\d{1,3}(,\d{3})+(\.\d+)?$/.test(plain)) plain = plain.replaceAll(",", "");
    else if (/^[-+]?\d+,\d+$/.test(plain)) plain = plain.replace(",", ".");
    const share = plain.match(/^([-+]?[\d.]+)\s*\/\s*([\d.]+)$/);
    if (share) return Number(share[1]) / Number(share[2]);
    return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(plain) ? Number(plain) : NaN;
  }

  /* The verdict on an answer: { right: true or false, message }. The order is that of `check` in JupyterLab:
     the right answer, then known mistakes, then a factor of 100, then too large or too small. */
  function judge(name, scrambled, answer) {
    const { letters, answers, ranges, right, share } = unscrambled(scrambled, name);
    const value = letters ? answer : number(answer);
    if (!letters && !Number.isFinite(value)) return { right: false, message: "one number is asked for, such as 12 or 0.5" };
    const hash = hashed(`${name}=${value}`), within = (x, [low, high]) => low <= x && x <= high;
    if (hash in answers) return { right: hash === right, message: answers[hash] };
    const hit = ranges.findIndex((range) => within(value, range));
    if (hit >= 0) return { right: hit === right, message: ranges[hit][2] };
    if (right !== 0) return { right: false, message: letters ? `choose one of ${[...letters].join(", ")}` : "a hint may help" };
    if (share && (within(100 * value, ranges[0]) || within(value / 100, ranges[0])))
      return { right: false, message: share };
    return { right: false, message: value > ranges[0][1] ? "too large" : "too small" };
  }

  function start(form) {
    const { name, record: scrambled } = form.dataset, verdict = form.querySelector(".verdict");
    let hints = 0;
    const say = (words, kind) => {
      verdict.textContent = words;
      verdict.dataset.kind = kind;
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const answer = new FormData(form).get("answer");
      if (!answer) return say("Not tried yet.", "untried");
      const { right, message } = judge(name, scrambled, answer);
      if (right) note("solved", name);
      say(`${right ? "✓ Right" : "✗ Not yet"}: ${message}.`, right ? "right" : "wrong");
    });
    form.querySelector(".hint").addEventListener("click", () => {
      say(`Hint: ${unscrambled(scrambled, name).hints[hints]}`, "untried");
      hints = 1;
    });
    if (record().solved[name]) say("You have solved this one before.", "right");
  }

  document.documentElement.classList.add("scripted"); // forms are shown only where they work
  document.querySelectorAll("form.exercise").forEach(start);

  // A page counts as read when its summary has been seen.
  const summary = document.querySelector("section#summary");
  if (summary) new IntersectionObserver((seen) => {
    if (seen.some((one) => one.isIntersecting)) note("read", location.pathname.split("/").pop().replace(".html", ""));
  }).observe(summary);

  return { record, note, judge, number };
})();
