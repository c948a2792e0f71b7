/* The explorers of notebooks 01, 02, 03, 05 and 07, alive in the page, in the words of JupyterLab (labels.texts). Paint has a
   script of its own. Each fills a <div class="live" data-explorer="..."> that holds its still. Those with a U-Net wait for a
   button, which says how much it loads; the others start when they come into view. */
"use strict";

(() => {
  const NETWORK = "printed-fast", DATA = "printed", SEED = 0, PATCH = 64, STEPS = 20;
  const M = RadarMaths, WHERE = 0.4; // of the walk back, where it opens

  // ---- what explorers are made of
  function make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  /* Python's format: {name}, {name:.2f}, {name:.2%}. */
  const fill = (text, values) => text.replace(/\{(\w+)(?::\.(\d)([f%]))?\}/g, (_, name, digits, kind) =>
    kind === "f" ? values[name].toFixed(digits) : kind ? `${(100 * values[name]).toFixed(digits)}%` : values[name]);

  const ink = (root, name) => getComputedStyle(root).getPropertyValue(name).trim();

  /* A panel: controls, a sentence, pictures in a row. `draw(values)` draws and returns the sentence; only the latest draw counts. */
  class Panel {
    constructor(root, words) {
      Object.assign(this, { root, words, values: {}, number: 0, pictures: [] });
      this.controls = make("div", { className: "live-controls" });
      this.told = make("p", { className: "live-told" });
      this.told.setAttribute("role", "status");
      this.row = make("div", { className: "live-row" });
      this.box = make("div", { className: "live-panel" }, this.controls, this.told, this.row);
      new MutationObserver(() => this.redraw()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    }

    slider(name, value, low, high, step = 1) {
      const range = make("input", { type: "range", min: low, max: high, step, value }), shown = make("output", { textContent: value });
      this.control(name, range, shown, () => { shown.textContent = range.value; return Number(range.value); });
      return range;
    }

    choice(name, options, value) {
      const select = make("select", {}, ...options.map((option) => make("option", { value: option, textContent: option })));
      select.value = value;
      this.control(name, select, "", () => select.value);
      return select;
    }

    control(name, input, shown, read) {
      this.values[name] = read();
      input.addEventListener("input", () => { this.values[name] = read(); this.redraw(); });
      this.controls.append(make("label", {}, make("span", { textContent: this.words.labels[name] }), input, shown));
    }

    picture(title, canvas) {
      canvas.setAttribute("role", "img");
      this.pictures.push({ title, canvas });
      this.row.append(make("figure", {}, make("figcaption", { textContent: title }), canvas));
      return canvas;
    }

    show() {
      for (const still of this.root.querySelectorAll("img, .enlarge")) still.hidden = true;
      this.root.append(this.box);
      this.root.dataset.live = "yes";
      return this.redraw();
    }

    async redraw() {
      if (!this.box.isConnected) return;
      const mine = ++this.number, latest = () => mine === this.number;
      try {
        const said = await this.draw(this.values, latest);
        if (!latest()) return;
        this.told.textContent = said;
        for (const { title, canvas } of this.pictures) canvas.setAttribute("aria-label", `${title}. ${said}`);
        this.root.dataset.drawn = Number(this.root.dataset.drawn || 0) + 1;
      } catch (error) { this.told.textContent = `This did not work: ${error.message}`; }
    }
  }

  // ---- pictures: a map or image one value a pixel, which CSS enlarges
  const pixels = (h, w) => make("canvas", { width: w, height: h, className: "live-map" });

  function paint(canvas, h, w, colour) { // `colour(i)`: [red, green, blue]
    const image = new ImageData(w, h);
    for (let i = 0; i < h * w; i++) { image.data.set(colour(i), 4 * i); image.data[4 * i + 3] = 255; }
    Object.assign(canvas, { width: w, height: h });
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  const byte = (value) => Math.max(0, Math.min(255, Math.round(value)));
  const grey = (canvas, x, h, w) => paint(canvas, h, w, (i) => Array(3).fill(byte((x[i] + 1) * 127.5)));
  const tables = {};
  function coloured(canvas, map, h, w, limit, kind, labels) {
    const table = tables[kind] = tables[kind] || Uint8Array.from(atob(labels.maps[kind]), (letter) => letter.charCodeAt(0));
    paint(canvas, h, w, (i) => {
      const entry = 3 * byte(256 * (kind === "signed" ? (map[i] / limit + 1) / 2 : map[i] / limit) - 0.5);
      return [table[entry], table[entry + 1], table[entry + 2]];
    });
  }

  const toX0 = (image) => Float32Array.from(image.data, (value) => value / 255 * 2 - 1);

  // ---- axes
  class Chart {
    constructor({ x, y, xlabel, ylabel, log = false, width = 340, height = 300 }) {
      Object.assign(this, { x, y, log, xlabel, ylabel, box: [52, 12, width - 10, height - 44] });
      this.canvas = make("canvas", { width: 2 * width, height: 2 * height, className: "live-chart" });
      this.pen = this.canvas.getContext("2d");
      this.pen.scale(2, 2);
    }

    px(value) { const [l, , r] = this.box; return l + (value - this.x[0]) / (this.x[1] - this.x[0]) * (r - l); }
    py(value) {
      const at = this.log ? Math.log10 : Number, [, t, , b] = this.box;
      return b - (at(value) - at(this.y[0])) / (at(this.y[1]) - at(this.y[0])) * (b - t);
    }

    axes(root) {
      const { pen, box: [l, t, r, b] } = this;
      this.colour = ink(root, "--live-ink");
      pen.fillStyle = ink(root, "--live-paper");
      pen.fillRect(0, 0, this.canvas.width, this.canvas.height);
      Object.assign(pen, { strokeStyle: this.colour, fillStyle: this.colour, lineWidth: 1, font: "12px sans-serif", textAlign: "center" });
      pen.setLineDash([]);
      pen.strokeRect(l, t, r - l, b - t);
      for (const value of ticks(...this.x)) pen.fillText(round(value), this.px(value), b + 16);
      pen.fillText(this.xlabel, (l + r) / 2, b + 36);
      pen.textAlign = "right";
      if (this.log) for (let power = Math.ceil(Math.log10(this.y[0])); 10 ** power <= this.y[1]; power++)
        pen.fillText(power < -1 ? `1e${power}` : 10 ** power, l - 5, this.py(10 ** power) + 4);
      else for (const value of ticks(...this.y)) pen.fillText(round(value), l - 5, this.py(value) + 4);
      pen.save();
      pen.translate(13, (t + b) / 2);
      pen.rotate(-Math.PI / 2);
      pen.textAlign = "center";
      pen.fillText(this.ylabel, 0, 0);
      pen.restore();
    }

    inside(draw) {
      const { pen, box: [l, t, r, b] } = this;
      pen.save();
      pen.beginPath();
      pen.rect(l, t, r - l, b - t);
      pen.clip();
      draw(pen);
      pen.restore();
    }

    line(xs, ys, colour, dash = []) {
      this.inside((pen) => {
        Object.assign(pen, { strokeStyle: colour, lineWidth: 2 });
        pen.setLineDash(dash);
        pen.beginPath();
        xs.forEach((x, i) => pen.lineTo(this.px(x), this.py(ys[i])));
        pen.stroke();
      });
    }

    bars(edges, heights, colour) {
      this.inside((pen) => {
        Object.assign(pen, { fillStyle: colour, globalAlpha: 0.6 });
        heights.forEach((height, i) => {
          if (height > 0) pen.fillRect(this.px(edges[i]), this.py(height), this.px(edges[i + 1]) - this.px(edges[i]), this.box[3] - this.py(height));
        });
      });
    }

    dot(x, y, colour, radius = 4, square = false) { // a triangle stands for what is defective
      const { pen } = this, column = this.px(x), row = this.py(y);
      const [l, t, r, b] = this.box, held = (value, low, high) => Math.max(low, Math.min(high, value));
      const at = [held(column, l, r), held(row, t, b)];
      Object.assign(pen, { fillStyle: colour, strokeStyle: this.colour, lineWidth: 1 });
      pen.beginPath();
      if (square) { pen.moveTo(at[0], at[1] - radius); pen.lineTo(at[0] + radius, at[1] + radius); pen.lineTo(at[0] - radius, at[1] + radius); pen.closePath(); }
      else pen.arc(at[0], at[1], radius, 0, 7);
      pen.fill();
      if (radius > 4) pen.stroke();
    }

    legend(entries, left = false) { // [[name, colour], ...] in a corner on top
      const { pen, box: [l, t, r] } = this;
      Object.assign(pen, { textAlign: left ? "left" : "right", font: "12px sans-serif" });
      entries.forEach(([name, colour, mark = "—"], i) => {
        pen.fillStyle = colour;
        pen.fillText(`${mark} ${name}`, left ? l + 8 : r - 8, t + 18 + 17 * i);
      });
    }
  }

  const round = (value) => String(Math.round(value * 1000) / 1000);
  function ticks(low, high) {
    const rough = (high - low) / 4, size = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * size).find((each) => each >= rough * 0.99), values = [];
    for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + step * 1e-9; value += step) values.push(value);
    return values;
  }

  function histogram(values, edges) { // density
    const counts = Array(edges.length - 1).fill(0), width = edges[1] - edges[0];
    let inside = 0;
    for (const value of values) {
      const bin = Math.min(counts.length - 1, Math.floor((value - edges[0]) / width));
      if (bin >= 0 && value <= edges[edges.length - 1]) { counts[bin]++; inside++; }
    }
    return counts.map((count) => count / inside / width);
  }

  const spaced = (low, high, count) => Array.from({ length: count }, (_, i) => low + (high - low) * i / (count - 1));
  const density = (x) => Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
  function cdf(x) { // Gaussian distribution function, to 1e-7 (Abramowitz and Stegun 26.2.17)
    const k = 1 / (1 + 0.2316419 * Math.abs(x));
    const tail = density(x) * k * (0.31938153 + k * (-0.356563782 + k * (1.781477937 + k * (-1.821255978 + k * 1.330274429))));
    return x > 0 ? 1 - tail : tail;
  }

  // ---- starting: in view, or by a button that says what it loads
  function inView(root, start) {
    const watch = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) { watch.disconnect(); start(); }
    }, { rootMargin: "200px" });
    watch.observe(root);
  }

  function byButton(root, labels, start) {
    const words = labels.texts.live, told = make("p", { className: "live-told" });
    told.setAttribute("role", "status");
    const button = make("button", { type: "button", className: "live-start",
      textContent: fill(words.start, { megabytes: Math.max(0.1, Radar.size(NETWORK)) }) });
    button.addEventListener("click", async () => {
      button.disabled = true;
      told.textContent = words.loading;
      try {
        await start(await Radar.load(NETWORK));
        button.remove();
        told.remove();
      } catch { button.disabled = false; told.textContent = words.failed; }
    });
    root.append(button, told);
  }

  const firstOfEach = (images) => images.filter((image, i) => i === 0 || image.kind !== "good");

  // ---- 01: noise an image
  Radar.explorer("explore_forward", (root, labels) => inView(root, async () => {
    const words = labels.texts.explore_forward, { colours } = labels, images = firstOfEach(await Radar.images(DATA));
    const panel = new Panel(root, words), edges = spaced(-4, 4, 61), x = spaced(-4, 4, 200);
    panel.choice("image", images.map((image) => image.kind), images[0].kind);
    panel.slider("t", 200, 0, M.T - 1);
    const noisy = panel.picture(words.titles.noisy, pixels(1, 1));
    const values = new Chart({ x: [-4, 4], y: [0, 1.5], xlabel: words.axes.value, ylabel: words.axes.density });
    const left = new Chart({ x: [0, M.T - 1], y: [0, 1], xlabel: words.axes.t, ylabel: words.axes.share });
    panel.picture(words.titles.values, values.canvas);
    panel.picture(words.titles.left, left.canvas);
    const eps = {};
    panel.draw = ({ image: kind, t }) => {
      const { height, width, ...image } = images.find((each) => each.kind === kind), size = height * width;
      eps[size] = eps[size] || M.randn(size, SEED);
      const x_t = M.addNoise(toX0(image), eps[size], t), a = M.alphasCumprod[t];
      grey(noisy, x_t, height, width);
      values.axes(root);
      values.bars(edges, histogram(x_t, edges), colours.normal);
      values.line(x, x.map(density), colours.anomalous);
      values.legend([[words.legend.gaussian, colours.anomalous]]);
      left.axes(root);
      const steps = spaced(0, M.T - 1, M.T);
      left.line(steps, M.alphasCumprod, colours.normal);
      left.line(steps, M.alphasCumprod.map((value) => 1 - value), colours.anomalous, [6, 4]);
      left.line([t, t], [0, 1], colours.accent);
      left.dot(t, a, colours.accent, 5);
      left.dot(t, 1 - a, colours.accent, 5);
      left.legend([[words.legend.image, colours.normal], [words.legend.noise, colours.anomalous, "- -"]]);
      return fill(words.text, { t, image_share: Math.sqrt(a), noise_share: Math.sqrt(1 - a), decibel: 10 * Math.log10(a / (1 - a)) });
    };
    panel.show();
  }));

  // ---- 02: walk back step by step
  Radar.explorer("explore_reverse", (root, labels) => byButton(root, labels, async (radar) => {
    const words = labels.texts.explore_reverse, image = (await Radar.images(DATA)).find(({ kind }) => kind !== "good");
    const panel = new Panel(root, words), x0 = aroundMask(image), eps = M.randn(PATCH * PATCH, SEED), walks = {};
    const starts = Object.fromEntries(Object.entries(words.starts).map(([t, name]) => [name, Number(t)]));
    panel.choice("start", Object.keys(starts), Object.keys(starts)[0]);
    const step = panel.slider("step", Math.round(WHERE * STEPS), 1, STEPS);
    const canvases = Object.values(words.titles).map((title) => panel.picture(title, pixels(PATCH, PATCH)));
    const play = make("button", { type: "button", textContent: words.buttons.play });
    let timer = null;
    play.addEventListener("click", () => {
      clearInterval(timer);
      step.value = 1;
      step.dispatchEvent(new Event("input"));
      timer = setInterval(() => {
        if (Number(step.value) >= STEPS) { clearInterval(timer); return; }
        step.value = Number(step.value) + 1;
        step.dispatchEvent(new Event("input"));
      }, 400);
    });
    panel.controls.append(play);

    async function walk(start) {
      const times = spaced(start, -1, STEPS + 1).map((t) => Math.round(t)), seen = [];
      let x = start === M.T - 1 ? eps : M.addNoise(x0, eps, start);
      for (let i = 0; i < STEPS; i++) {
        const [t, previous] = [times[i], times[i + 1]], a = M.alphasCumprod[t], noise = await radar.predictNoise(x, PATCH, PATCH, t);
        const guess = x.map((value, at) => Math.max(-1, Math.min(1, (value - Math.sqrt(1 - a) * noise[at]) / Math.sqrt(a))));
        const after = M.reverseStep(x, noise, t, previous);
        seen.push({ t, previous, x, noise, guess, after });
        x = after;
      }
      return seen;
    }
    panel.draw = async ({ start, step: number }) => {
      walks[start] = walks[start] || walk(starts[start]);
      const { t, previous, x, noise, guess, after } = (await walks[start])[number - 1];
      grey(canvases[0], x, PATCH, PATCH);
      coloured(canvases[1], noise, PATCH, PATCH, 3, "signed", labels);
      grey(canvases[2], guess, PATCH, PATCH);
      grey(canvases[3], after, PATCH, PATCH);
      return fill(words.text, { step: number, steps: STEPS, t, end: previous < 0 ? words.clean : fill(words.end, { previous }) });
    };
    await panel.show();
  }));

  function aroundMask(image) { // PATCH x PATCH pixels of it, with the middle of the mask in their middle
    let rows = 0, columns = 0, count = 0;
    image.mask.forEach((on, i) => { if (on) { rows += Math.floor(i / image.width); columns += i % image.width; count++; } });
    const corner = (sum, side) => Math.trunc(Math.max(0, Math.min(side - PATCH, sum / count - PATCH / 2)));
    const top = corner(rows, image.height), left = corner(columns, image.width), x0 = toX0(image);
    return Float32Array.from({ length: PATCH * PATCH }, (_, i) => x0[(top + Math.floor(i / PATCH)) * image.width + left + i % PATCH]);
  }

  // ---- 03: click a place and see where it looks
  Radar.explorer("explore_attention", (root, labels) => byButton(root, labels, async (radar) => {
    const words = labels.texts.explore_attention, image = (await Radar.images(DATA)).find(({ kind }) => kind !== "good");
    const { height, width } = image, panel = new Panel(root, words), known = {}, x0 = toX0(image), layers = Object.keys(radar.settings.attention);
    const { grid } = radar.settings, rows = Math.ceil(height / grid), columns = Math.ceil(width / grid);
    const row = panel.slider("row", Math.floor(rows / 2), 0, rows - 1), column = panel.slider("column", Math.floor(columns / 2), 0, columns - 1);
    panel.slider("t", 200, 0, M.T - 1);
    panel.choice("layer", layers, layers[0]);
    const canvases = Object.values(words.titles).map((title) => panel.picture(title, pixels(height, width)));
    for (const canvas of canvases) {
      canvas.classList.add("live-clicked");
      canvas.addEventListener("click", (event) => {
        const box = canvas.getBoundingClientRect();
        const place = (at, side, most) => Math.max(0, Math.min(most - 1, Math.floor(at / side * (most === rows ? height : width) / grid)));
        panel.values.column = place(event.clientX - box.left, box.width, columns);
        column.value = panel.values.column;
        row.value = place(event.clientY - box.top, box.height, rows);
        column.dispatchEvent(new Event("input"));
        row.dispatchEvent(new Event("input"));
      });
    }
    const cross = (canvas, r, c) => {
      const pen = canvas.getContext("2d"), x = (c + 0.5) * grid, y = (r + 0.5) * grid, arm = Math.max(2, Math.round(width / 36));
      for (const [colour, thick, reach] of [["white", 3, arm + 1], [labels.colours.anomalous, 1.4, arm]]) {
        Object.assign(pen, { strokeStyle: colour, lineWidth: thick });
        pen.beginPath();
        pen.moveTo(x - reach, y); pen.lineTo(x + reach, y);
        pen.moveTo(x, y - reach); pen.lineTo(x, y + reach);
        pen.stroke();
      }
    };
    panel.draw = async ({ row: r, column: c, t, layer }) => {
      const asked = `${t} ${layer}`;
      known[asked] = known[asked] || radar.attention(x0, height, width, t, layer);
      const found = await known[asked], weights = found.weights.slice((r * found.columns + c) * rows * columns).slice(0, rows * columns);
      const least = Math.min(...weights), most = Math.max(...weights), best = weights.indexOf(most);
      grey(canvases[0], x0, height, width);
      const map = Float32Array.from({ length: height * width }, (_, i) =>
        weights[Math.floor(Math.floor(i / width) / grid) * columns + Math.floor(i % width / grid)] - least);
      coloured(canvases[1], map, height, width, most - least, "heat", labels);
      for (const canvas of canvases) cross(canvas, r, c);
      let half = 0, sum = 0;
      for (const weight of [...weights].sort((a, b) => b - a)) { half++; sum += weight; if (sum >= 0.5) break; }
      return fill(words.text, { row: r, column: c, half, places: weights.length, best_row: Math.floor(best / columns),
        best_column: best % columns, most, least, even: 1 / weights.length });
    };
    await panel.show();
  }));

  // ---- 05: noise maps and their statistics by t
  Radar.explorer("explore_noise_map", (root, labels) => byButton(root, labels, async (radar) => {
    const words = labels.texts.explore_noise_map, { colours } = labels, images = firstOfEach(await Radar.images(DATA));
    const panel = new Panel(root, words), edges = spaced(-8, 8, 65), x = spaced(-8, 8, 200);
    panel.choice("image", images.map((image) => image.kind), images[1].kind);
    panel.slider("t", 1, 0, M.T - 1);
    panel.choice("reading", words.readings, words.readings[0]);
    const shown = panel.picture(words.titles.image, pixels(1, 1)), noise = panel.picture(words.titles.noise, pixels(1, 1));
    const values = new Chart({ x: [-8, 8], y: [1e-4, 3], log: true, xlabel: words.axes.value, ylabel: words.axes.density });
    const line = new Chart({ x: [-4, 4], y: [-8, 8], xlabel: words.axes.expected, ylabel: words.axes.measured });
    panel.picture(words.titles.values, values.canvas);
    panel.picture(words.titles.line, line.canvas);
    panel.draw = async ({ image: kind, t, reading }, latest) => {
      const image = images.find((each) => each.kind === kind), { height, width } = image;
      const map = await radar.noiseMap(image, t, reading), found = gaussianStatistics(map);
      if (!latest()) return "";
      const limit = reading === "noise_free" || t < 10 ? 1.5 : 3;
      grey(shown, toX0(image), height, width);
      coloured(noise, map, height, width, limit, "signed", labels);
      values.axes(root);
      values.bars(edges, histogram(found.standard, edges), colours.normal);
      values.line(x, x.map(density), colours.anomalous);
      values.legend([[words.legend.gaussian, colours.anomalous]]);
      line.axes(root);
      line.line([-4, 4], [-4, 4], colours.anomalous);
      for (const expected of spaced(-3.9, 3.9, 120)) {
        const at = Math.floor(cdf(expected) * map.length);
        if (at >= 1 && at < map.length) line.dot(expected, found.standard[at], colours.normal, 2.5);
      }
      line.legend([[words.legend.gaussian, colours.anomalous]], true);
      return fill(words.text, { image: kind, t, reading, limit, std: found.std, kurtosis: found.kurtosis, distance: found.distance });
    };
    await panel.show();
  }));

  function gaussianStatistics(map) {
    const n = map.length, mean = map.reduce((a, b) => a + b, 0) / n;
    let second = 0, fourth = 0;
    for (const value of map) { const square = (value - mean) ** 2; second += square; fourth += square * square; }
    const std = Math.sqrt(second / n), standard = Float32Array.from(map, (value) => (value - mean) / std).sort();
    let distance = 0;
    standard.forEach((value, i) => { const under = cdf(value); distance = Math.max(distance, (i + 1) / n - under, under - i / n); });
    return { std, kurtosis: fourth / n / (second / n) ** 2 - 3, distance, standard };
  }

  // ---- 07: the forest's border by contamination and number of points
  Radar.explorer("explore_features", (root, labels) => inView(root, async () => {
    const words = labels.texts.explore_features, { colours } = labels, plane = await Radar.plane(DATA);
    const panel = new Panel(root, words), counts = plane.forests.map(({ points }) => points.length), known = {};
    panel.slider("contamination", 0.05, 0.01, 0.5, 0.01);
    panel.choice("count", counts.map(String), String(counts[counts.length - 1]));
    panel.choice("view", Object.values(words.views), words.views.all);
    const views = Object.fromEntries(Object.entries(words.views).map(([key, name]) => {
      const held = key === "all" ? [...plane.features, ...plane.learnt] : plane.learnt;
      const span = [0, 1].map((axis) => {
        const all = held.map((point) => point[axis]), low = Math.min(...all), high = Math.max(...all), rim = 0.1 * Math.max(high - low, 1e-6);
        return [low - rim, high + rim];
      });
      return [name, new Chart({ x: span[0], y: span[1], xlabel: words.axes.global, ylabel: words.axes.local, width: 620, height: 440 })];
    }));
    const canvas = panel.picture(words.titles.plane, make("canvas", { className: "live-chart wide" }));
    const COLUMNS = 160, ROWS = 110;
    function scoresOf(count, view) {
      const asked = `${count} ${view}`;
      if (known[asked]) return known[asked];
      const { forest, points } = plane.forests[counts.indexOf(count)], { x, y } = views[view], score = (point) => M.forestScore(forest, point);
      const xs = spaced(x[0], x[1], COLUMNS), ys = spaced(y[1], y[0], ROWS), everywhere = new Float64Array(ROWS * COLUMNS);
      for (let i = 0; i < everywhere.length; i++) everywhere[i] = score([xs[i % COLUMNS], ys[Math.floor(i / COLUMNS)]]);
      return (known[asked] = { points, own: points.map(score).sort((a, b) => a - b), scores: plane.features.map(score), everywhere });
    }
    panel.draw = ({ contamination, count, view }) => {
      const { points, own, scores, everywhere } = scoresOf(Number(count), view), chart = views[view];
      const at = contamination * (own.length - 1), low = Math.floor(at), next = Math.min(low + 1, own.length - 1);
      const threshold = own[low] + (at - low) * (own[next] - own[low]);
      chart.axes(root);
      const [l, t, r, b] = chart.box, wide = (r - l) / COLUMNS, high = (b - t) / ROWS;
      chart.inside((pen) => {
        Object.assign(pen, { fillStyle: colours.normal, globalAlpha: 0.22 });
        everywhere.forEach((score, i) => {
          if (score >= threshold) pen.fillRect(l + i % COLUMNS * wide, t + Math.floor(i / COLUMNS) * high, wide + 0.3, high + 0.3);
        });
      });
      plane.features.forEach(([x, y], i) => {
        if (x >= chart.x[0] && x <= chart.x[1] && y >= chart.y[0] && y <= chart.y[1])
          chart.dot(x, y, plane.defective[i] ? colours.anomalous : colours.normal, 4, plane.defective[i]);
      });
      const few = Number(count) < 40;
      if (few) points.forEach(([x, y]) => chart.dot(x, y, colours.accent, 5));
      chart.legend([[words.legend.normal, colours.normal, "●"], [words.legend.defective, colours.anomalous, "▲"]], true);
      Object.assign(canvas, { width: chart.canvas.width, height: chart.canvas.height });
      canvas.getContext("2d").drawImage(chart.canvas, 0, 0);
      const called = (wanted) => scores.filter((score, i) => score < threshold && plane.defective[i] === wanted).length;
      const all = (wanted) => plane.defective.filter((each) => each === wanted).length;
      return fill(words.text, { contamination, count, alarms: called(false), good: all(false), found: called(true), bad: all(true) })
        + (few ? words.few : "");
    };
    panel.show();
  }));
})();
