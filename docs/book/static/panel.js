/* What the live explorers of a page are made of: controls that redraw, pictures, plots, a line of words that is read aloud.

     new RadarPanel(root, labels, "explore_paint", {
       controls: { t: { min: 0, max: 999, value: 200 }, image: { options: ["good", "gap"] }, reading: { options: [...], radio: true } },
       pictures: { canvas: [512, 512], noise: [512, 512] },       // key: width and height in pixels of the canvas
       network: "printed-fast",                                   // loaded at the reader's first touch; panel.radar from then on
       draw: async (values, panel) => "the words of the moment",  // or null; draws on panel.canvases; without a network yet, panel.radar is null
     })

   Labels of controls and titles of pictures stand in radar_nb/teaching/explorers/texts.py. While a drawing is under way, only the
   latest of further changes is drawn after it. */
"use strict";

const RadarDraw = (() => {
  const table = (labels, key) => Uint8Array.from(atob(labels.maps[key]), (letter) => letter.charCodeAt(0));

  function small(h, w, fill) { // an off-screen canvas of one pixel for each value; fill(pixels, i, at) sets red, green and blue
    const canvas = Object.assign(document.createElement("canvas"), { width: w, height: h }), pen = canvas.getContext("2d");
    const picture = pen.createImageData(w, h), pixels = picture.data.fill(255);
    for (let i = 0; i < h * w; i++) fill(pixels, i, 4 * i);
    pen.putImageData(picture, 0, 0);
    return canvas;
  }

  function enlarge(canvas, picture) { // fills the canvas, which takes the picture's shape
    const side = Math.max(canvas.width, canvas.height), factor = side / Math.max(picture.width, picture.height);
    Object.assign(canvas, { width: Math.round(picture.width * factor), height: Math.round(picture.height * factor) });
    const pen = canvas.getContext("2d");
    pen.imageSmoothingEnabled = false;
    pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
    return pen;
  }

  // An image, Uint8 0..255 or float 0..1. Returns the pen, as all of these do.
  function image(canvas, { data, height, width }) {
    const scale = data instanceof Float32Array ? 255 : 1;
    return enlarge(canvas, small(height, width, (pixels, i, at) => { pixels[at] = pixels[at + 1] = pixels[at + 2] = scale * data[i]; }));
  }

  // A map in the figures' colours: from 0 to limit, or from -limit to limit.
  function map(canvas, values, h, w, labels, limit, signed = false) {
    const colours = table(labels, signed ? "signed" : "heat");
    return enlarge(canvas, small(h, w, (pixels, i, at) => {
      const share = signed ? (values[i] / limit + 1) / 2 : values[i] / limit, entry = 3 * Math.max(0, Math.min(255, Math.floor(256 * share)));
      for (let channel = 0; channel < 3; channel++) pixels[at + channel] = colours[entry + channel];
    }));
  }

  // The border of a mask, in a picture of the same shape.
  function outline(pen, mask, h, w, colour, width = 3) {
    const factor = pen.canvas.width / w, is = (r, c) => r >= 0 && c >= 0 && r < h && c < w && mask[r * w + c];
    Object.assign(pen, { strokeStyle: colour, lineWidth: width });
    pen.beginPath();
    for (let r = 0; r < h; r++) for (let c = 0; c < w; c++) if (mask[r * w + c]) {
      const [x, y] = [c * factor, r * factor];
      if (!is(r - 1, c)) { pen.moveTo(x, y); pen.lineTo(x + factor, y); }
      if (!is(r + 1, c)) { pen.moveTo(x, y + factor); pen.lineTo(x + factor, y + factor); }
      if (!is(r, c - 1)) { pen.moveTo(x, y); pen.lineTo(x, y + factor); }
      if (!is(r, c + 1)) { pen.moveTo(x + factor, y); pen.lineTo(x + factor, y + factor); }
    }
    pen.stroke();
  }

  // Axes on a canvas; values to pixels by x() and y(). Words are as large as the page shows the canvas: `unit` pixels of it are one of the page.
  class Plot {
    constructor(canvas, { x, y, xlabel, ylabel, log = [false, false] }) {
      canvas.parentElement?.classList.add("live-plot"); // which takes more room on a phone
      const unit = Math.max(1, canvas.width / (canvas.clientWidth || canvas.width));
      Object.assign(this, { pen: canvas.getContext("2d"), limits: { x, y }, log, unit });
      const { pen } = this, style = getComputedStyle(canvas), ink = this.ink = style.getPropertyValue("--live-ink").trim() || "#1b1b1b";
      this.box = { left: 54 * unit, top: 10 * unit, right: canvas.width - 12 * unit, bottom: canvas.height - 40 * unit };
      pen.fillStyle = style.getPropertyValue("--live-paper").trim() || "#ffffff";
      pen.fillRect(0, 0, canvas.width, canvas.height);
      Object.assign(pen, { fillStyle: ink, strokeStyle: ink, lineWidth: unit, font: `${13 * unit}px system-ui, sans-serif`, textAlign: "center" });
      pen.strokeRect(this.box.left, this.box.top, this.box.right - this.box.left, this.box.bottom - this.box.top);
      for (const value of this.ticks(x, log[0])) pen.fillText(this.number(value), this.x(value), this.box.bottom + 16 * unit);
      pen.fillText(xlabel, (this.box.left + this.box.right) / 2, canvas.height - 7 * unit);
      pen.textAlign = "right";
      for (const value of this.ticks(y, log[1])) pen.fillText(this.number(value), this.box.left - 5 * unit, this.y(value) + 5 * unit);
      pen.save();
      pen.translate(13 * unit, (this.box.top + this.box.bottom) / 2);
      pen.rotate(-Math.PI / 2);
      pen.textAlign = "center";
      pen.fillText(ylabel, 0, 0);
      pen.restore();
    }

    number(value) { return value && Math.abs(value) < 0.01 ? value.toExponential() : Number(value.toPrecision(3)).toString(); }

    ticks([low, high], log) {
      if (log) {
        const all = [];
        for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
          for (const step of high / low > 1000 ? [1] : [1, 2, 5]) all.push(step * 10 ** power);
        return all.filter((value) => value >= low && value <= high);
      }
      const rough = (high - low) / 4, power = 10 ** Math.floor(Math.log10(rough)), step = [1, 2, 5, 10].find((one) => one * power >= rough) * power;
      const first = Math.ceil(low / step - 1e-9);
      return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => (first + i) * step);
    }

    share(value, [low, high], log) {
      const at = log ? Math.log(Math.max(value, 1e-12) / low) / Math.log(high / low) : (value - low) / (high - low);
      return Math.max(0, Math.min(1, at)); // what lies beyond is drawn at the edge
    }

    x(value) { return this.box.left + this.share(value, this.limits.x, this.log[0]) * (this.box.right - this.box.left); }
    y(value) { return this.box.bottom - this.share(value, this.limits.y, this.log[1]) * (this.box.bottom - this.box.top); }

    dots(points, colour, radius = 4, edge = null, shape = "disc") {
      Object.assign(this.pen, { fillStyle: colour, strokeStyle: edge || colour, lineWidth: 2 });
      for (const [x, y] of points) {
        const [px, py] = [this.x(x), this.y(y)];
        this.pen.beginPath();
        if (shape === "disc") this.pen.arc(px, py, radius, 0, 7);
        else { this.pen.moveTo(px, py - radius); this.pen.lineTo(px + radius, py + radius); this.pen.lineTo(px - radius, py + radius); }
        this.pen.fill();
        if (edge) this.pen.stroke();
      }
    }

    line(points, colour, width = 3, dash = []) {
      Object.assign(this.pen, { strokeStyle: colour, lineWidth: width });
      this.pen.setLineDash(dash);
      this.pen.beginPath();
      for (const [x, y] of points) this.pen.lineTo(this.x(x), this.y(y));
      this.pen.stroke();
      this.pen.setLineDash([]);
    }

    bars(edges, heights, colour) {
      this.pen.fillStyle = colour;
      heights.forEach((height, i) => this.pen.fillRect(this.x(edges[i]), this.y(height), this.x(edges[i + 1]) - this.x(edges[i]), this.box.bottom - this.y(height)));
    }

    // Shade where `inside(x, y)` holds, behind what is drawn next.
    shade(inside, colour, cells = 100) {
      const { left, top, right, bottom } = this.box, column = (i) => Math.round(left + i / cells * (right - left)), row = (j) => Math.round(bottom - j / cells * (bottom - top));
      const value = (share, [low, high], log) => (log ? low * (high / low) ** share : low + share * (high - low));
      Object.assign(this.pen, { fillStyle: colour, globalAlpha: 0.25 });
      for (let i = 0; i < cells; i++) for (let j = 0; j < cells; j++)
        if (inside(value((i + 0.5) / cells, this.limits.x, this.log[0]), value((j + 0.5) / cells, this.limits.y, this.log[1])))
          this.pen.fillRect(column(i), row(j + 1), column(i + 1) - column(i), row(j) - row(j + 1));
      this.pen.globalAlpha = 1;
    }

    legend(entries, left = false) { // [[words, colour, mark], ...] in the lower right or upper left corner
      const { pen, unit, box } = this;
      Object.assign(pen, { font: `${13 * unit}px system-ui, sans-serif`, textAlign: "left" });
      const marks = 26 * unit, widest = Math.max(...entries.map(([words]) => pen.measureText(words).width));
      const at = left ? box.left + 8 * unit : box.right - widest - marks - 8 * unit;
      entries.forEach(([words, colour, mark = "●"], i) => {
        const y = left ? box.top + (18 + 17 * i) * unit : box.bottom - (9 + 17 * (entries.length - 1 - i)) * unit;
        pen.fillStyle = colour;
        pen.fillText(mark, at, y);
        pen.fillStyle = this.ink;
        pen.fillText(words, at + marks, y);
      });
    }
  }

  function waiting(canvas, words = "…") { // before the first answer
    const pen = canvas.getContext("2d"), style = getComputedStyle(canvas);
    pen.fillStyle = style.getPropertyValue("--live-paper");
    pen.fillRect(0, 0, canvas.width, canvas.height);
    Object.assign(pen, { fillStyle: style.getPropertyValue("--live-ink"), font: "26px system-ui, sans-serif", textAlign: "center" });
    pen.fillText(words, canvas.width / 2, canvas.height / 2);
  }

  return { image, map, outline, enlarge, small, waiting, Plot };
})();

class RadarPanel {
  constructor(root, labels, name, { controls = {}, pictures, buttons = {}, network = null, draw }) {
    Object.assign(this, { root, labels, words: labels.texts[name], network, drawing: draw, radar: null, canvases: {}, inputs: {} });
    if (typeof WebAssembly === "undefined" || typeof DecompressionStream === "undefined") return; // the still stays
    const { make } = RadarPanel;
    this.text = make("p", { className: "live-text" });
    this.text.setAttribute("role", "status");
    this.status = make("p", { className: "live-status" });
    this.status.setAttribute("role", "status");
    const controlBox = make("div", { className: "live-controls" }, ...Object.entries(controls).map(([key, control]) => this.control(key, control)));
    for (const [key, act] of Object.entries(buttons)) controlBox.append(make("button", { type: "button", textContent: this.words.buttons[key], onclick: act }));
    const framed = Object.entries(pictures).map(([key, [width, height]]) => {
      const canvas = this.canvases[key] = make("canvas", { width, height }), title = this.words.titles[key];
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", title);
      return make("figure", {}, make("figcaption", { textContent: title }), canvas);
    });
    root.replaceChildren(controlBox, this.status, this.text, make("div", { className: "live-pictures" }, ...framed));
    root.hidden = false;
    root.panel = this;
    const still = root.nextElementSibling;
    this.inNotebook = Boolean(still && still.matches(".cell_output"));
    if (this.inNotebook || (still && root.dataset.still)) still.hidden = true;
    if (network) {
      this.status.textContent = this.say(labels.texts.live.waiting, { megabytes: Radar.size(network) });
      for (const kind of ["pointerenter", "pointerdown", "focusin"]) root.addEventListener(kind, () => this.wake(), { once: true });
    }
    new MutationObserver(() => this.redraw()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    queueMicrotask(() => this.redraw()); // once the caller has the panel
    let width = root.clientWidth;
    new ResizeObserver(() => { if (root.clientWidth !== width) { width = root.clientWidth; this.redraw(); } }).observe(root); // a turned phone
  }

  static make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  // A slider, a list, or radio buttons; each with its label, all by keyboard.
  control(key, { min, max, step = 1, value, options, radio = false }) {
    const { make } = RadarPanel, name = this.words.labels[key], changed = () => this.redraw(), id = `live-${key}-${Math.random()}`;
    const field = (...parts) => make("div", { className: "live-field" }, make("label", { textContent: name, htmlFor: id }), ...parts);
    if (options && radio) {
      const buttons = options.map((option, i) =>
        make("input", { type: "radio", name: id, value: option, checked: value === undefined ? !i : value === option, onchange: changed }));
      this.inputs[key] = { get value() { return buttons.find((button) => button.checked).value; }, set value(chosen) { for (const button of buttons) button.checked = button.value === chosen; } };
      return make("fieldset", {}, make("legend", { textContent: name }), ...buttons.map((button) => make("label", {}, button, ` ${button.value} `)));
    }
    if (options) {
      this.inputs[key] = make("select", { id, onchange: changed }, ...options.map((option) => make("option", { textContent: option, value: option })));
      if (value !== undefined) this.inputs[key].value = value;
      return field(this.inputs[key]);
    }
    const shown = make("output", { textContent: value });
    this.inputs[key] = make("input", { id, type: "range", min, max, step, oninput: () => { shown.textContent = this.inputs[key].value; changed(); } });
    this.inputs[key].value = value;
    this.inputs[key].shown = shown;
    return field(this.inputs[key], shown);
  }

  get values() {
    return Object.fromEntries(Object.entries(this.inputs).map(([key, input]) => [key, input.type === "range" ? Number(input.value) : input.value]));
  }

  show(key, value) { // give a control a value without drawing
    this.inputs[key].value = value;
    if (this.inputs[key].shown) this.inputs[key].shown.textContent = this.inputs[key].value;
  }

  set(values) { // several controls at once, then one drawing
    for (const [key, value] of Object.entries(values)) this.show(key, value);
    this.redraw();
  }

  // Load the network. The first call begins; all wait for the same.
  wake() {
    if (!this.waking) this.waking = (async () => {
      this.status.textContent = this.say(this.labels.texts.live.loading, { megabytes: Radar.size(this.network) });
      try {
        this.radar = await Radar.load(this.network);
        this.status.textContent = this.inNotebook ? this.labels.texts.live.loaded : "";
        this.redraw();
      } catch (error) {
        this.status.textContent = this.say(this.labels.texts.live.failed, { reason: error.message });
      }
    })();
    return this.waking;
  }

  async redraw() {
    this.again = true;
    if (this.busy) return;
    this.busy = true;
    try {
      while (this.again) {
        this.again = false;
        const words = await this.drawing(this.values, this);
        if (words !== null && words !== undefined) this.tell(words);
        if (this.fault && this.status.textContent === this.fault.told) this.status.textContent = this.fault.before;
        this.fault = null;
      }
    } catch (error) {
      const told = this.say(this.labels.texts.live.broken, { reason: error.message });
      this.fault = { told, before: this.fault ? this.fault.before : this.status.textContent };
      this.status.textContent = told;
    } finally { this.busy = false; }
  }

  tell(words) {
    if (this.text.textContent !== words) this.text.textContent = words;
    for (const [key, canvas] of Object.entries(this.canvases)) canvas.setAttribute("aria-label", `${this.words.titles[key]}. ${words}`);
  }

  // Fill in a sentence of texts.py: {name}, {name:.2f}, {name:.2%}.
  say(template, values) {
    return template.replace(/\{(\w+)(?::\.(\d)([f%]))?\}/g, (_, name, digits, kind) => (digits === undefined ? values[name]
      : kind === "%" ? `${(100 * values[name]).toFixed(digits)}%` : values[name].toFixed(digits)));
  }
}
