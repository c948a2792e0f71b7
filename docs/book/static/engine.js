/* RADAR in the page: loads a released network when it is first wanted, and answers as Python's RadarDetector does.

     const radar = await Radar.load("printed-fast");      // or "extrusion", "texture"; a second call gives the same object
     const images = await Radar.images("printed");        // [{ name, kind, height, width, data, mask }], no network needed
     const found = await radar.inspect(images[3]);        // { noiseMap, sobel, anomalyMap, mask, features, score, normal, ms }

   step by step, with maps as Float32Array, rows one after the other:

     radar.settings                                       // timestep, reading, offset, pixel_threshold, calibration, attention, ...
     await radar.predictNoise(x, h, w, t)                 // eps_theta(x, t), x in [-1, 1], any sides
     await radar.attention(x, h, w, t, layer)             // { rows, columns, weights }: each place to each other, rows add to 1
     await radar.noiseMap(image, t, reading)              // t and reading as the detector's where left out
     radar.sobel(noiseMap, h, w); radar.features(sobel, h, w); radar.score(features); radar.decide(score)

   An image is { data, height, width }: grey, Uint8Array 0..255 or Float32Array 0..1. RadarMaths (maths.js) has the rest.

     Radar.labels()            // promise of { texts, colours, maps }: words as in JupyterLab, colours as in the figures
     Radar.size("printed-fast")  // megabytes that `load` would fetch now
     Radar.explorer(name, build) // build(root, labels) fills each <div class="live" data-explorer="name"> of the page

   The U-Net runs in a worker, so the page stays awake. Where no worker can be had, it runs in the page. */
"use strict";

const Radar = (() => {
  const here = new URL("live/", document.currentScript.src), parcels = {}, waiting = {}, detectors = {};
  const SIZES = JSON.parse(document.currentScript.dataset.sizes || "{}"); // megabytes by name, written by ext/live.py

  // ---- parcels: scripts that hold bytes as letters, since a page from the file system may not read the files beside it
  function parcel(name) {
    if (!parcels[name]) parcels[name] = new Promise((resolve, reject) => {
      waiting[name] = resolve;
      const script = Object.assign(document.createElement("script"), { src: new URL(`${name}.js`, here), async: true });
      script.onerror = () => { delete parcels[name]; reject(new Error(`${name}.js is not there`)); };
      document.head.append(script);
    });
    return parcels[name];
  }

  function arrived(name, content) {
    waiting[name](content);
    delete waiting[name];
  }

  /* Runs in a worker, or in the page: unpacks, starts sessions, calls the U-Net. It is copied as text, so it uses nothing from
     around it. `say(message)` answers; what comes back takes messages. */
  function core(scope, say) {
    const sessions = {};

    function fromLetters(text) { // 15 bits a letter, from U+3400 on; the first counts the bits that fill up the last one
      const bytes = new Uint8Array((15 * (text.length - 1) - (text.charCodeAt(0) - 0x3400)) / 8);
      for (let i = 1, at = 0, held = 0, bits = 0; i < text.length; i++) {
        held = held << 15 | text.charCodeAt(i) - 0x3400;
        for (bits += 15; bits >= 8 && at < bytes.length; ) bytes[at++] = held >>> (bits -= 8);
        held &= (1 << bits) - 1;
      }
      return bytes;
    }

    async function unpack(text, planes = 1) {
      const stream = new Blob([fromLetters(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
      const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
      if (planes === 1) return bytes;
      const joined = new Uint8Array(bytes.length), count = bytes.length / planes;
      for (let plane = 0, at = 0; plane < planes; plane++)
        for (let i = 0; i < count; i++) joined[i * planes + plane] = bytes[at++];
      return joined;
    }

    const jobs = {
      unpack: ({ text }) => unpack(text),
      async start({ runtime }) {
        const script = (bytes) => URL.createObjectURL(new Blob([bytes], { type: "text/javascript" }));
        const source = script(await unpack(runtime.ort));
        if (scope.importScripts) scope.importScripts(source);
        else await new Promise((resolve, reject) => {
          scope.document.head.append(Object.assign(scope.document.createElement("script"), { src: source, onload: resolve, onerror: reject }));
        });
        const { env } = scope.ort;
        env.wasm.wasmPaths = { mjs: script(await unpack(runtime.mjs)) };
        env.wasm.wasmBinary = await unpack(runtime.wasm);
        env.wasm.numThreads = 1; // more need headers that files do not have
        env.logLevel = "error";
      },
      async open({ name, model, length }) {
        const bytes = (await unpack(model, 4)).subarray(0, length);
        sessions[name] = await scope.ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
      },
      async run({ name, x, height, width, t, outputs }) {
        const { Tensor } = scope.ort, feeds = { x: new Tensor("float32", x, [1, 1, height, width]), t: new Tensor("float32", [t], [1]) };
        const found = await sessions[name].run(feeds, outputs);
        return Object.fromEntries(outputs.map((output) => [output, { data: found[output].data, dims: found[output].dims }]));
      },
    };
    let queue = Promise.resolve(); // one after the other
    return ({ id, job, ...given }) => {
      queue = queue.then(async () => {
        try { say({ id, result: await jobs[job](given) }); } catch (error) { say({ id, failed: String(error && error.message || error) }); }
      });
    };
  }

  const asked = new Map();
  let send = null, count = 0;
  function heard({ id, result, failed }) {
    const { resolve, reject } = asked.get(id);
    asked.delete(id);
    if (failed === undefined) resolve(result); else reject(new Error(failed));
  }

  function ask(job, given) {
    if (!send) connect();
    return new Promise((resolve, reject) => {
      asked.set(++count, { resolve, reject });
      send({ id: count, job, ...given });
    });
  }

  function connect() {
    const inPage = () => { const take = core(window, heard); send = (message) => take(message); };
    try {
      const text = `onmessage = (event) => take(event.data); const take = (${core})(self, (message) => postMessage(message));`;
      const worker = new Worker(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
      worker.onmessage = (event) => heard(event.data);
      worker.onerror = () => { for (const [id] of asked) heard({ id, failed: "the worker stopped" }); };
      send = (message) => worker.postMessage(message);
    } catch { inPage(); }
  }

  const bytes = (text) => ask("unpack", { text });
  let started = null;
  function start() {
    started = started || parcel("runtime").then((runtime) => ask("start", { runtime }));
    return started;
  }

  // ---- a released detector
  class Detector {
    constructor(name, settings, forest) { Object.assign(this, { name, settings, forest, noise: {} }); }

    async run(x, h, w, t, outputs) {
      const { map, height, width } = RadarMaths.padToGrid(x, h, w, this.settings.grid);
      return { found: await ask("run", { name: this.name, x: Float32Array.from(map), height, width, t, outputs }), height, width };
    }

    async predictNoise(x, h, w, t) {
      const { found, width } = await this.run(x, h, w, t, ["eps"]);
      return RadarMaths.crop(found.eps.data, width, h, w);
    }

    async attention(x, h, w, t, layer) {
      const { found, height, width } = await this.run(x, h, w, t, [`${layer}.to_q`, `${layer}.to_k`]);
      const [q, k] = ["q", "k"].map((part) => found[`${layer}.to_${part}`].data), heads = this.settings.attention[layer];
      const rows = height / this.settings.grid, columns = width / this.settings.grid, places = rows * columns;
      const channels = q.length / places, each = channels / heads, weights = new Float32Array(places * places);
      for (let place = 0; place < places; place++) for (let head = 0; head < heads; head++) {
        const dots = new Float64Array(places);
        for (let other = 0; other < places; other++)
          for (let c = head * each; c < (head + 1) * each; c++) dots[other] += q[place * channels + c] * k[other * channels + c];
        const most = dots.reduce((a, b) => Math.max(a, b)), powers = dots.map((dot) => Math.exp((dot - most) / Math.sqrt(each)));
        const sum = powers.reduce((a, b) => a + b);
        for (let other = 0; other < places; other++) weights[place * places + other] += powers[other] / sum / heads;
      }
      return { rows, columns, weights };
    }

    fixedNoise(h, w) {
      const size = `${h} x ${w}`;
      this.noise = { [size]: this.noise[size] || RadarMaths.randn(h * w, this.settings.random_state) };
      return this.noise[size];
    }

    async noiseMap({ data, height, width }, t = this.settings.timestep, reading = this.settings.reading) {
      const scale = data instanceof Uint8Array || data instanceof Uint8ClampedArray ? 255 : 1;
      const x0 = Float32Array.from(data, (value) => value / scale * 2 - 1);
      if (reading === "noise_free") return this.predictNoise(x0, height, width, t);
      const eps = this.fixedNoise(height, width);
      const predicted = await this.predictNoise(RadarMaths.addNoise(x0, eps, t), height, width, t);
      return reading === "residual" ? predicted.map((value, i) => value - eps[i]) : predicted;
    }

    sobel(noiseMap, h, w) { return RadarMaths.sobel(RadarMaths.blur(noiseMap, h, w, this.settings.blur), h, w, this.settings.sobel); }
    features(sobel, h, w) { return RadarMaths.features(sobel, h, w, this.settings.window); }
    score(features) { return RadarMaths.forestScore(this.forest, features); }
    decide(score) { return score >= this.settings.offset; } // true: normal

    async inspect(image) {
      const began = performance.now(), { height, width } = image, noiseMap = await this.noiseMap(image);
      const sobel = this.sobel(noiseMap, height, width), features = this.features(sobel, height, width), score = this.score(features);
      const anomalyMap = RadarMaths.smooth(sobel, height, width, this.settings.smoothing);
      const mask = Uint8Array.from(anomalyMap, (value) => value > this.settings.pixel_threshold);
      return { noiseMap, sobel, anomalyMap, mask, features, score, normal: this.decide(score), ms: performance.now() - began };
    }
  }

  function unpackForest(buffer, { nodes, trees, depth, scale }) {
    let at = 0;
    const take = (Kind, length) => { const part = new Kind(buffer, at, length); at += part.byteLength; return part; };
    return { length: take(Float64Array, nodes), threshold: take(Float32Array, nodes), left: take(Int32Array, nodes),
      right: take(Int32Array, nodes), roots: take(Int32Array, trees), feature: take(Uint8Array, nodes), trees, depth, scale };
  }

  function load(name) {
    if (!detectors[name]) {
      detectors[name] = (async () => {
        const [{ settings, forest, model }] = await Promise.all([parcel(name), start()]);
        await ask("open", { name, model, length: settings.model_bytes });
        return new Detector(name, settings, unpackForest((await bytes(forest)).buffer, settings.forest));
      })();
      detectors[name].catch(() => { delete detectors[name]; started = null; });
    }
    return detectors[name];
  }

  async function images(dataset) {
    const { images: packed } = await parcel(`images-${dataset}`);
    return Promise.all(packed.map(async (image) => ({ ...image, data: await bytes(image.data), mask: image.mask && await bytes(image.mask) })));
  }

  /* What explorers need of a detector before its U-Net: { grid, layers, learnt, tested, defective, forests: { count: { points, forest } } }. */
  async function plane(dataset) {
    const { forests, ...known } = await parcel(`plane-${dataset}`);
    const unpacked = await Promise.all(Object.entries(forests).map(async ([count, { points, about, arrays }]) =>
      [count, { points, forest: unpackForest((await bytes(arrays)).buffer, about) }]));
    return { ...known, forests: Object.fromEntries(unpacked) };
  }

  const size = (name) => (parcels.runtime ? 0 : SIZES.runtime || 0) + (detectors[name] ? 0 : SIZES[name] || 0);

  // ---- explorers of a page
  const labels = () => parcel("labels");
  async function explorer(name, build) {
    const roots = document.querySelectorAll(`.live[data-explorer="${name}"]`);
    if (roots.length) { const found = await labels(); for (const root of roots) build(root, found); }
  }

  return { load, images, plane, labels, size, explorer, arrived };
})();
