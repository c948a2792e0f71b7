/* The explorers of notebooks 01, 02, 03, 05 and 07 in the page, in the words of JupyterLab. Paint has paint.js. */
"use strict";

(() => {
  const NETWORK = "printed-fast", DATA = "printed", SEED = 0, SQUARE = [512, 512];
  const M = RadarMaths, LAST = M.T - 1, { Plot } = RadarDraw;

  const spaced = (low, high, count) => Array.from({ length: count }, (_, i) => low + (high - low) * i / (count - 1));
  const pairs = (xs, ys) => xs.map((x, i) => [x, ys[i]]);
  const toX0 = (image) => Float32Array.from(image.data, (value) => value / 255 * 2 - 1);
  const drawX = (canvas, x, height, width) =>
    RadarDraw.image(canvas, { data: x.map((value) => Math.max(0, Math.min(1, (value + 1) / 2))), height, width });
  const examples = async () => (await Radar.images(DATA)).filter(({ kind }, i) => !i || kind !== "good"); // a normal one, then defects
  const firstDefect = async () => (await Radar.images(DATA)).find(({ kind }) => kind !== "good");

  // ---- a Gaussian, and how near to it values are
  const density = (x) => Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);

  function cdf(x) { // to 1e-7: Abramowitz and Stegun 26.2.17
    const k = 1 / (1 + 0.2316419 * Math.abs(x));
    const tail = density(x) * k * (0.31938153 + k * (-0.356563782 + k * (1.781477937 + k * (-1.821255978 + k * 1.330274429))));
    return x > 0 ? 1 - tail : tail;
  }

  function histogram(values, edges) { // density; what lies beyond the edges is left out
    const counts = Array(edges.length - 1).fill(0), width = edges[1] - edges[0];
    for (const value of values) {
      const bin = Math.floor((value - edges[0]) / width);
      if (bin >= 0 && bin < counts.length) counts[bin]++;
    }
    const all = counts.reduce((a, b) => a + b);
    return counts.map((count) => count / all / width);
  }

  function gaussianStatistics(map) { // as radar_nb/method/noise_map.py
    const n = map.length, mean = map.reduce((a, b) => a + b, 0) / n;
    let second = 0, fourth = 0, distance = 0;
    for (const value of map) { const square = (value - mean) ** 2; second += square; fourth += square * square; }
    const std = Math.sqrt(second / n), standard = Float32Array.from(map, (value) => (value - mean) / std).sort();
    standard.forEach((value, i) => { const below = cdf(value); distance = Math.max(distance, (i + 1) / n - below, below - i / n); });
    return { std, kurtosis: fourth / n / (second / n) ** 2 - 3, distance, standard };
  }

  // ---- 01: noise an image
  async function forward(root, labels) {
    const { axes, legend, text } = labels.texts.explore_forward, { normal, anomalous, accent } = labels.colours;
    const images = await examples(), edges = spaced(-4, 4, 61), x = spaced(-4, 4, 200), steps = spaced(0, LAST, M.T);
    const drawn = {}, noise = (count) => (drawn[count] = drawn[count] || M.randn(count, SEED)); // stays while t moves
    new RadarPanel(root, labels, "explore_forward", {
      controls: { image: { options: images.map(({ kind }) => kind) }, t: { min: 0, max: LAST, value: 200 } },
      pictures: { noisy: SQUARE, values: SQUARE, left: SQUARE },
      draw: ({ image: kind, t }, { canvases, say }) => {
        const image = images.find((each) => each.kind === kind), { height, width } = image, a = M.alphasCumprod[t];
        const x_t = M.addNoise(toX0(image), noise(height * width), t);
        drawX(canvases.noisy, x_t, height, width);
        const values = new Plot(canvases.values, { x: [-4, 4], y: [0, 1.5], xlabel: axes.value, ylabel: axes.density });
        values.bars(edges, histogram(x_t, edges), `${normal}90`);
        values.line(pairs(x, x.map(density)), anomalous);
        values.legend([[legend.gaussian, anomalous, "—"]], true);
        const left = new Plot(canvases.left, { x: [0, LAST], y: [0, 1], xlabel: axes.t, ylabel: axes.share });
        left.line(pairs(steps, M.alphasCumprod), normal);
        left.line(pairs(steps, M.alphasCumprod.map((share) => 1 - share)), anomalous, 3, [10, 7]);
        left.line([[t, 0], [t, 1]], accent);
        left.dots([[t, a], [t, 1 - a]], accent, 8, "#1b1b1b");
        left.legend([[legend.image, normal, "—"], [legend.noise, anomalous, "- -"]]);
        return say(text, { t, image_share: Math.sqrt(a), noise_share: Math.sqrt(1 - a), decibel: 10 * Math.log10(a / (1 - a)) });
      },
    });
  }

  // ---- 02: walk back step by step
  const PATCH = 64, STEPS = 20, OPENS = 8;

  function aroundMask({ data, mask, height, width }) { // PATCH x PATCH pixels, the middle of the mask in their middle
    let [rows, columns, count] = [0, 0, 0];
    mask.forEach((on, i) => { if (on) { rows += Math.floor(i / width); columns += i % width; count++; } });
    const corner = (sum, side) => Math.trunc(Math.max(0, Math.min(side - PATCH, sum / count - PATCH / 2)));
    const top = corner(rows, height), left = corner(columns, width);
    return toX0({ data: Array.from({ length: PATCH * PATCH }, (_, i) => data[(top + Math.floor(i / PATCH)) * width + left + i % PATCH]) });
  }

  async function walk(radar, x, start) { // DDIM from t = start to the clean image
    const times = spaced(start, -1, STEPS + 1).map(Math.round), seen = [];
    for (let i = 0; i < STEPS; i++) {
      const t = times[i], previous = times[i + 1], a = M.alphasCumprod[t], noise = await radar.predictNoise(x, PATCH, PATCH, t);
      const guess = x.map((value, at) => (value - Math.sqrt(1 - a) * noise[at]) / Math.sqrt(a)), after = M.reverseStep(x, noise, t, previous);
      seen.push({ t, previous, x, noise, guess, after });
      x = after;
    }
    return seen;
  }

  async function reverse(root, labels) {
    const words = labels.texts.explore_reverse, x0 = aroundMask(await firstDefect()), eps = M.randn(PATCH * PATCH, SEED), walks = {};
    const starts = Object.fromEntries(Object.entries(words.starts).map(([t, name]) => [name, Number(t)]).reverse());
    let playing = null;
    const stop = () => { clearInterval(playing); playing = null; };
    const panel = new RadarPanel(root, labels, "explore_reverse", {
      network: NETWORK,
      controls: { start: { options: Object.keys(starts) }, step: { min: 1, max: STEPS, value: OPENS } },
      buttons: { play: () => {
        stop();
        panel.set({ step: 1 });
        playing = setInterval(() => (panel.values.step < STEPS ? panel.set({ step: panel.values.step + 1 }) : stop()), 400);
      } },
      pictures: { before: SQUARE, noise: SQUARE, guess: SQUARE, after: SQUARE },
      draw: async ({ start, step }, { radar, canvases, say }) => {
        if (!radar) { for (const canvas of Object.values(canvases)) RadarDraw.waiting(canvas); return null; }
        const from = starts[start];
        walks[from] = walks[from] || walk(radar, from === LAST ? eps : M.addNoise(x0, eps, from), from);
        const { t, previous, x, noise, guess, after } = (await walks[from])[step - 1];
        for (const [key, picture] of Object.entries({ before: x, guess, after })) drawX(canvases[key], picture, PATCH, PATCH);
        RadarDraw.map(canvases.noise, noise, PATCH, PATCH, labels, 3, true);
        return say(words.text, { step, steps: STEPS, t, end: previous < 0 ? words.clean : say(words.end, { previous }) });
      },
    });
  }

  // ---- 03: click a place, and see where it looks
  function drawCross(pen, x, y, colour) {
    for (const [stroke, width, reach] of [["#ffffff", 9, 17], [colour, 5, 14]]) {
      Object.assign(pen, { strokeStyle: stroke, lineWidth: width });
      pen.beginPath();
      pen.moveTo(x - reach, y);
      pen.lineTo(x + reach, y);
      pen.moveTo(x, y - reach);
      pen.lineTo(x, y + reach);
      pen.stroke();
    }
  }

  async function attention(root, labels) {
    const { text } = labels.texts.explore_attention, image = await firstDefect(), { height, width } = image, x0 = toX0(image), known = {};
    const { grid, layers } = await Radar.plane(DATA), rows = Math.ceil(height / grid), columns = Math.ceil(width / grid);
    const panel = new RadarPanel(root, labels, "explore_attention", {
      network: NETWORK,
      controls: { row: { min: 0, max: rows - 1, value: rows >> 1 }, column: { min: 0, max: columns - 1, value: columns >> 1 },
        t: { min: 0, max: LAST, value: 200 }, layer: { options: layers } },
      pictures: { click: SQUARE, looks: SQUARE },
      draw: async ({ row, column, t, layer }, { radar, canvases, say }) => {
        const factor = canvases.click.width / width, pens = [RadarDraw.image(canvases.click, image)];
        const cross = () => { for (const pen of pens) drawCross(pen, (column + 0.5) * grid * factor, (row + 0.5) * grid * factor, labels.colours.anomalous); };
        if (!radar) { cross(); RadarDraw.waiting(canvases.looks); return null; }
        const asked = `${t} ${layer}`, places = rows * columns;
        known[asked] = known[asked] || await radar.attention(x0, height, width, t, layer);
        const weights = known[asked].weights.subarray((row * columns + column) * places, (row * columns + column + 1) * places);
        const least = Math.min(...weights), most = Math.max(...weights), best = weights.indexOf(most);
        const map = Float32Array.from({ length: height * width }, (_, i) =>
          weights[Math.floor(Math.floor(i / width) / grid) * columns + Math.floor(i % width / grid)] - least);
        pens.push(RadarDraw.map(canvases.looks, map, height, width, labels, most - least));
        cross();
        let [half, sum] = [0, 0];
        for (const weight of weights.slice().sort().reverse()) { half++; sum += weight; if (sum >= 0.5) break; }
        return say(text, { row, column, half, places, best_row: Math.floor(best / columns), best_column: best % columns, most, least, even: 1 / places });
      },
    });
    for (const canvas of Object.values(panel.canvases)) {
      canvas.classList.add("live-clicked");
      canvas.addEventListener("click", (event) => {
        const box = canvas.getBoundingClientRect(), place = (at, side, length, most) => Math.max(0, Math.min(most - 1, Math.floor(at / side * length / grid)));
        panel.set({ row: place(event.clientY - box.top, box.height, height, rows), column: place(event.clientX - box.left, box.width, width, columns) });
      });
    }
  }

  // ---- 05: noise maps and their statistics by t
  async function noiseMap(root, labels) {
    const { axes, legend, text, readings } = labels.texts.explore_noise_map, { normal, anomalous } = labels.colours;
    const images = await examples(), edges = spaced(-8, 8, 65), x = spaced(-8, 8, 200), quantiles = spaced(-3.9, 3.9, 120);
    new RadarPanel(root, labels, "explore_noise_map", {
      network: NETWORK,
      controls: { image: { options: images.map(({ kind }) => kind), value: images[1].kind }, t: { min: 0, max: LAST, value: 1 },
        reading: { options: readings, radio: true } },
      pictures: { image: SQUARE, noise: SQUARE, values: SQUARE, line: SQUARE },
      draw: async ({ image: kind, t, reading }, { radar, canvases, say }) => {
        const image = images.find((each) => each.kind === kind), { height, width } = image;
        RadarDraw.image(canvases.image, image);
        if (!radar) { for (const key of ["noise", "values", "line"]) RadarDraw.waiting(canvases[key]); return null; }
        const map = await radar.noiseMap(image, t, reading), { standard, ...found } = gaussianStatistics(map);
        const limit = reading === "noise_free" || t < 10 ? 1.5 : 3;
        RadarDraw.map(canvases.noise, map, height, width, labels, limit, true);
        const values = new Plot(canvases.values, { x: [-8, 8], y: [1e-4, 3], xlabel: axes.value, ylabel: axes.density, log: [false, true] });
        values.bars(edges, histogram(standard, edges), `${normal}90`);
        values.line(pairs(x, x.map(density)), anomalous);
        values.legend([[legend.gaussian, anomalous, "—"]], true);
        const line = new Plot(canvases.line, { x: [-4, 4], y: [-8, 8], xlabel: axes.expected, ylabel: axes.measured });
        line.line([[-4, -4], [4, 4]], anomalous);
        line.dots(quantiles.map((expected) => [expected, standard[Math.floor(cdf(expected) * standard.length)]]), normal);
        line.legend([[legend.gaussian, anomalous, "—"]], true);
        return say(text, { image: kind, t, reading, limit, ...found });
      },
    });
  }

  // ---- 07: the forest's border by contamination and number of points
  function quantile(sorted, share) { // as numpy.quantile
    const at = share * (sorted.length - 1), low = Math.floor(at), next = Math.min(low + 1, sorted.length - 1);
    return sorted[low] + (at - low) * (sorted[next] - sorted[low]);
  }

  function limitsOf(points) { // with a rim
    return [0, 1].map((axis) => {
      const values = points.map((point) => point[axis]), low = Math.min(...values), high = Math.max(...values), rim = 0.1 * Math.max(high - low, 1e-6);
      return [low - rim, high + rim];
    });
  }

  async function features(root, labels) {
    const words = labels.texts.explore_features, { normal, anomalous, accent } = labels.colours, known = {};
    const { forests, learnt, tested, defective } = await Radar.plane(DATA), { all, near } = words.views;
    const limits = { [all]: limitsOf([...tested, ...learnt]), [near]: limitsOf(learnt) }, counts = Object.keys(forests);
    const panel = new RadarPanel(root, labels, "explore_features", {
      controls: { contamination: { min: 0.01, max: 0.5, step: 0.01, value: 0.05 }, count: { options: counts, value: counts[counts.length - 1] },
        view: { options: [all, near], radio: true } },
      pictures: { plane: [760, 560] },
      draw: ({ contamination, count, view }, { canvases, say }) => {
        const { forest, points } = forests[count], score = (point) => M.forestScore(forest, point), asked = `${count} ${view}`;
        const scores = tested.map(score), threshold = quantile(points.map(score).sort((a, b) => a - b), contamination);
        const [x, y] = limits[view], plot = new Plot(canvases.plane, { x, y, xlabel: words.axes.global, ylabel: words.axes.local });
        const [seen, region] = [known[asked], known[asked] || (known[asked] = [])];
        let cell = 0;
        plot.shade((...point) => {
          if (!seen) region.push(score(point));
          return region[cell++] >= threshold;
        }, normal);
        const shown = (wanted) => tested.filter((point, i) => defective[i] === wanted && point.every((value, axis) => value >= limits[view][axis][0] && value <= limits[view][axis][1]));
        plot.dots(shown(false), normal, 6);
        plot.dots(shown(true), anomalous, 7, null, "triangle");
        if (count < 40) plot.dots(points.filter(([px, py]) => px <= x[1] && py <= y[1]), accent, 7, "#1b1b1b");
        plot.legend([[words.legend.normal, normal], [words.legend.defective, anomalous, "▲"]]);
        const called = (wanted) => scores.filter((value, i) => value < threshold && defective[i] === wanted).length;
        const bad = defective.filter(Boolean).length;
        return say(words.text, { contamination, count, alarms: called(false), good: defective.length - bad, found: called(true), bad }) + (count < 40 ? words.few : "");
      },
    });
    if (panel.status) panel.status.textContent = labels.texts.live.loaded; // its features are of that network
  }

  for (const [name, build] of Object.entries({ forward, reverse, attention, noise_map: noiseMap, features })) Radar.explorer(`explore_${name}`, build);
})();
