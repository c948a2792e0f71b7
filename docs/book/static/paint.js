/* Paint a defect, and RADAR answers: the explorer of notebook 00, and the one of the first page. */
"use strict";

const RadarPaint = (() => {
  // An image and the strokes on it, each with its own grey value (0 to 255) and opacity (0 to 1).
  class Painting {
    constructor(image) { Object.assign(this, { image, strokes: [] }); }

    begin(grey, opacity) { this.strokes.push({ mask: new Uint8Array(this.image.data.length), grey, opacity }); }

    // Draw with a round brush of `size` pixels from one [row, column] to another, as part of the last stroke.
    stroke([fromRow, fromColumn], [toRow, toColumn], size) {
      const { height, width } = this.image, { mask } = this.strokes[this.strokes.length - 1], reach = size / 2;
      const down = toRow - fromRow, across = toColumn - fromColumn, long = down * down + across * across || 1;
      const from = (a, b) => Math.max(0, Math.ceil(Math.min(a, b) - reach)), to = (a, b, most) => Math.min(most - 1, Math.floor(Math.max(a, b) + reach));
      for (let row = from(fromRow, toRow); row <= to(fromRow, toRow, height); row++)
        for (let column = from(fromColumn, toColumn); column <= to(fromColumn, toColumn, width); column++) {
          const share = Math.max(0, Math.min(1, ((row - fromRow) * down + (column - fromColumn) * across) / long));
          if (Math.hypot(row - fromRow - share * down, column - fromColumn - share * across) <= Math.max(0.5, reach)) mask[row * width + column] = 1;
        }
    }

    result() {
      const values = Float32Array.from(this.image.data);
      for (const { mask, grey, opacity } of this.strokes)
        for (let i = 0; i < values.length; i++) if (mask[i]) values[i] += opacity * (grey - values[i]);
      return { ...this.image, data: Uint8Array.from(values, Math.round) };
    }
  }

  /* A canvas to paint on by mouse, finger and keyboard. `brush()` gives { size, grey, opacity }; `changed()` is called after
     each bit of paint, `moved([row, column])` when the brush has another place. */
  class Easel {
    constructor(canvas, words, brush, changed, moved = () => {}) {
      Object.assign(this, { canvas, brush, changed, moved, at: null, last: null, seen: false, side: Math.max(canvas.width, canvas.height) });
      canvas.tabIndex = 0;
      canvas.setAttribute("role", "application");
      canvas.setAttribute("aria-label", words);
      canvas.classList.add("live-easel");
      const place = (event) => {
        const box = canvas.getBoundingClientRect(), { height, width } = this.painting.image;
        return [(event.clientY - box.top) / box.height * height - 0.5, (event.clientX - box.left) / box.width * width - 0.5];
      };
      canvas.addEventListener("pointerdown", (event) => {
        canvas.setPointerCapture(event.pointerId);
        this.begin();
        this.reach(place(event));
      });
      canvas.addEventListener("pointermove", (event) => {
        if (!this.painting) return;
        this.at = place(event);
        this.seen = true;
        this.moved(this.at);
        if (this.last) for (const each of event.getCoalescedEvents ? event.getCoalescedEvents() : [event]) this.reach(place(each));
        else this.show();
      });
      for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, () => { this.last = null; });
      canvas.addEventListener("pointerleave", () => { this.seen = document.activeElement === canvas; this.show(); });
      for (const kind of ["focus", "blur"]) canvas.addEventListener(kind, () => { this.seen = kind === "focus"; this.show(); });
      canvas.addEventListener("keydown", (event) => {
        const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
        if (move) this.move(this.at[0] + (event.shiftKey ? 12 : 3) * move[0], this.at[1] + (event.shiftKey ? 12 : 3) * move[1]);
        else if (event.key === " " || event.key === "Enter") this.dab();
        else return;
        event.preventDefault();
      });
    }

    open(image) {
      this.painting = new Painting(image);
      this.at = [(image.height - 1) / 2, (image.width - 1) / 2];
      this.show();
    }

    begin() { const { grey, opacity } = this.brush(); this.painting.begin(grey, opacity); this.last = null; }

    reach(place) {
      this.painting.stroke(this.last || place, place, this.brush().size);
      this.last = this.at = place;
      this.show();
      this.changed();
    }

    dab() { this.begin(); this.reach(this.at); this.last = null; }

    move(row, column) {
      this.at = [Math.max(0, Math.min(this.painting.image.height - 1, row)), Math.max(0, Math.min(this.painting.image.width - 1, column))];
      this.seen = true;
      this.moved(this.at);
      this.show();
    }

    undo() { this.painting.strokes.pop(); this.show(); this.changed(); }
    clear() { this.open(this.painting.image); this.changed(); }

    // The painted image, and the brush as four pieces of a ring: no defect looks so.
    show() {
      if (!this.painting) return;
      const pen = RadarDraw.image(this.canvas, this.painting.result());
      if (!this.seen) return;
      const factor = this.canvas.width / this.painting.image.width, [y, x] = this.at.map((value) => (value + 0.5) * factor);
      for (const [colour, width] of [["#ffffff", 6], ["#E69F00", 3]]) for (const corner of [45, 135, 225, 315]) {
        Object.assign(pen, { strokeStyle: colour, lineWidth: width });
        pen.beginPath();
        pen.arc(x, y, Math.max(2, this.brush().size) * factor / 2 + 2, (corner - 32) * Math.PI / 180, (corner + 32) * Math.PI / 180);
        pen.stroke();
      }
    }
  }

  // The map with what was found outlined, in the picture beside the painting.
  function drawFound(canvas, found, { height, width }, radar, labels) {
    const pen = RadarDraw.map(canvas, found.anomalyMap, height, width, labels, 3 * radar.settings.pixel_threshold);
    RadarDraw.outline(pen, found.mask, height, width, labels.colours.accent);
  }

  // The plane of features: calibration images, where the forest says normal, and the way of the painted image.
  class FeaturePlane {
    constructor(canvas, radar, words, labels) {
      const columns = [0, 1].map((i) => radar.settings.calibration.map((point) => point[i]));
      const limits = columns.map((values, i) => [0.8 * Math.min(...values), Math.max(...values) * [1.7, 3.2][i]]);
      Object.assign(this, { canvas, radar, words, labels, limits, region: [], trail: [] });
    }

    draw(found) {
      const [x, y] = this.limits, { axes } = this.words, { normal, anomalous } = this.labels.colours, known = this.region.length;
      const plot = new RadarDraw.Plot(this.canvas, { x, y, xlabel: axes.x, ylabel: axes.y, log: [true, true] });
      let cell = 0;
      plot.shade((...point) => {
        if (!known) this.region.push(this.radar.decide(this.radar.score(point)));
        return this.region[cell++];
      }, normal);
      plot.dots(this.radar.settings.calibration, normal, 3);
      this.trail.push(found.features);
      plot.line(this.trail, "#88888880", 3);
      plot.dots([found.features], found.normal ? normal : anomalous, 10, getComputedStyle(this.canvas).getPropertyValue("--live-ink"));
      plot.legend([[axes.points, normal]]);
    }
  }

  const good = async () => (await Radar.images("printed")).filter(({ kind }) => kind === "good");

  // ---- notebook 00
  async function explore(root, labels) {
    const images = await good(), words = labels.texts.explore_paint;
    let plane = null, shown = null;
    const panel = new RadarPanel(root, labels, "explore_paint", {
      network: "printed-fast",
      controls: { image: { options: images.map((image) => image.name) }, size: { min: 1, max: 30, value: 7 }, grey: { min: 0, max: 255, value: 20 },
        opacity: { min: 5, max: 100, step: 5, value: 100 }, row: { min: 0, max: images[0].height - 1, value: images[0].height >> 1 },
        column: { min: 0, max: images[0].width - 1, value: images[0].width >> 1 } },
      buttons: { dab: () => easel.dab(), undo: () => easel.undo(), clear: () => { plane = null; easel.clear(); } },
      pictures: { canvas: [512, 512], noise: [512, 512], sobel: [512, 512], plane: [512, 512] },
      draw: async ({ image }, { radar, canvases }) => {
        if (image !== shown) {
          easel.open(images.find((one) => one.name === image));
          [shown, plane] = [image, null];
        }
        if (!radar) { for (const key of ["noise", "sobel", "plane"]) RadarDraw.waiting(canvases[key]); return words.hint; }
        const painted = easel.painting.result(), found = await radar.inspect(painted);
        plane = plane || new FeaturePlane(canvases.plane, radar, words, labels);
        RadarDraw.map(canvases.noise, found.noiseMap, painted.height, painted.width, labels, 1.5, true);
        drawFound(canvases.sobel, found, painted, radar, labels);
        plane.draw(found);
        return panel.say(words.text, { decision: words.decisions[found.normal ? "normal" : "anomalous"], score: -found.score,
          offset: -radar.settings.offset, global_norm: found.features[0], local_norm: found.features[1] });
      },
    });
    if (!panel.inputs.row) return; // no WebAssembly here
    const brush = () => { const { size, grey, opacity } = panel.values; return { size, grey, opacity: opacity / 100 }; };
    const easel = new Easel(panel.canvases.canvas, words.hint, brush, () => panel.redraw(), ([row, column]) => {
      for (const [key, value] of [["row", row], ["column", column]]) panel.show(key, Math.round(value));
    });
    for (const key of ["row", "column"]) panel.inputs[key].addEventListener("input", () => easel.move(panel.values.row, panel.values.column));
  }

  // ---- the first page
  async function first(root, labels) {
    const images = await Radar.images("printed"), words = labels.texts.paint_first;
    const surfaces = images.filter(({ kind }) => kind === "good"), defects = images.filter(({ kind }) => kind !== "good");
    const next = (list) => { list.push(list.shift()); easel.open(list[list.length - 1]); panel.redraw(); };
    const panel = new RadarPanel(root, labels, "paint_first", {
      network: "printed-fast",
      buttons: { clear: () => easel.clear(), undo: () => easel.undo(), surface: () => next(surfaces), defect: () => next(defects) },
      pictures: { canvas: [512, 512], sobel: [512, 512] },
      draw: async (_, { radar, canvases }) => {
        if (!easel.painting) easel.open(surfaces[0]);
        if (!radar) { RadarDraw.waiting(canvases.sobel); return words.hint; }
        const painted = easel.painting.result(), found = await radar.inspect(painted);
        drawFound(canvases.sobel, found, painted, radar, labels);
        root.dataset.decision = found.normal ? "normal" : "anomalous";
        return words.decisions[root.dataset.decision];
      },
    });
    if (!panel.canvases.canvas) return;
    const easel = new Easel(panel.canvases.canvas, words.hint, () => ({ size: 7, grey: 20, opacity: 1 }), () => panel.redraw());
  }

  return { Painting, Easel, drawFound, explore, first };
})();

Radar.explorer("explore_paint", RadarPaint.explore);
Radar.explorer("paint_first", RadarPaint.first);
