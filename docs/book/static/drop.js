/* Drop your own photograph, and see its map. What cannot be used gets one friendly line. */
"use strict";

(() => {
  const { make } = RadarPanel, MOST_BYTES = 60e6, MOST_PIXELS = 100e6;
  const SIDES = { "printed-fast": 512, extrusion: 256, texture: 256 }; // the last two cost four times as much for a pixel

  class Unusable extends Error {}

  // A file as an <img> whose size is known, before anything is drawn. Raises Unusable with one line.
  async function read(file, words, say) {
    const name = file.name || words.unnamed;
    if (!file.size) throw new Unusable(say(words.empty, { name }));
    if (file.size > MOST_BYTES) throw new Unusable(say(words.heavy, { name, megabytes: file.size / 1e6, most: MOST_BYTES / 1e6 }));
    const picture = new Image(), address = URL.createObjectURL(file);
    try {
      await new Promise((resolve, reject) => { picture.onload = resolve; picture.onerror = reject; picture.src = address; });
    } catch {
      throw new Unusable(say(words.unreadable, { name }));
    } finally { URL.revokeObjectURL(address); }
    const { naturalWidth: width, naturalHeight: height } = picture;
    if (!width || !height) throw new Unusable(say(words.unreadable, { name }));
    if (width * height > MOST_PIXELS) throw new Unusable(say(words.huge, { name, width, height, most: MOST_PIXELS / 1e6 }));
    return { picture, name, width, height };
  }

  // What the network is given: grey, shrunk, on white where it is transparent; and what was done, in words.
  function prepare({ picture, name, width, height }, least, longest, words, say) {
    const factor = Math.min(1, longest / Math.max(width, height)), w = Math.max(1, Math.round(factor * width)), h = Math.max(1, Math.round(factor * height));
    const size = factor < 1 ? say(words.shrunk, { w, h }) : "";
    if (Math.min(w, h) < least) throw new Unusable(say(words.small, { name, width, height, shrunk: size, least }));
    const canvas = make("canvas", { width: w, height: h }), pen = canvas.getContext("2d", { willReadFrequently: true });
    Object.assign(pen, { imageSmoothingQuality: "high" });
    pen.drawImage(picture, 0, 0, w, h);
    const { data } = pen.getImageData(0, 0, w, h), grey = new Uint8Array(w * h);
    let colour = false, clear = false;
    for (let i = 0; i < w * h; i++) {
      const alpha = data[4 * i + 3] / 255, [r, g, b] = [0, 1, 2].map((channel) => Math.round(255 + alpha * (data[4 * i + channel] - 255)));
      colour = colour || r !== g || g !== b;
      clear = clear || alpha < 1;
      grey[i] = (19595 * r + 38470 * g + 7471 * b + 32768) >> 16; // as Pillow
    }
    const done = [say(words.size, { name, width, height, shrunk: size }), colour ? words.grey : "", clear ? words.white : ""];
    return { image: { data: grey, height: h, width: w }, done: done.filter(Boolean).join(" ") };
  }

  Radar.explorer("drop_photograph", (root, labels) => {
    const words = labels.texts.drop_photograph, networks = Object.entries(words.networks);
    let chosen = null, looked = {};
    const panel = new RadarPanel(root, labels, "drop_photograph", {
      controls: { network: { options: networks.map(([, title]) => title), radio: true }, scale: { options: Object.values(words.scales), radio: true } },
      pictures: { photograph: [512, 512], map: [512, 512] },
      draw: async ({ network: title, scale }) => {
        if (!chosen) return words.hint;
        const [name] = networks.find(([, each]) => each === title), say = panel.say;
        try {
          if (looked.name !== name || looked.file !== chosen) { // else only the colours have changed
            panel.status.textContent = say(Radar.size(name) ? labels.texts.live.loading : words.looking, { megabytes: Radar.size(name) });
            const radar = await Radar.load(name), file = await read(chosen, words, say);
            const { image, done } = prepare(file, radar.settings.smallest_side, SIDES[name], words, say);
            panel.status.textContent = words.looking;
            looked = { name, file: chosen, image, done, radar, found: await radar.inspect(image) };
          }
        } catch (error) {
          looked = {};
          panel.status.textContent = "";
          return error instanceof Unusable ? error.message : say(labels.texts.live.failed, { reason: error.message });
        }
        const { image, done, radar, found } = looked, { height, width } = image;
        const most = found.anomalyMap.reduce((a, b) => Math.max(a, b)), at = found.anomalyMap.indexOf(most);
        const usual = scale === words.scales.surface, top = usual ? 3 * radar.settings.pixel_threshold : most;
        RadarDraw.image(panel.canvases.photograph, image);
        const pen = RadarDraw.map(panel.canvases.map, found.anomalyMap, height, width, labels, top);
        if (usual) RadarDraw.outline(pen, found.mask, height, width, labels.colours.accent);
        panel.status.textContent = done;
        root.dataset.decision = found.normal ? "normal" : "anomalous";
        return say(words.text, { decision: words.decisions[root.dataset.decision], row: Math.floor(at / width), column: at % width, surface: title,
          score: -found.score, offset: -radar.settings.offset });
      },
    });
    if (!panel.canvases.map) return;

    const take = (files) => {
      const file = files[0];
      if (!file) { panel.tell(words.nothing); return; }
      chosen = file;
      panel.redraw();
    };
    const input = make("input", { type: "file", accept: "image/*", onclick: () => { input.value = ""; }, onchange: () => take(input.files) });
    const zone = make("label", { className: "live-drop" }, make("span", { textContent: words.labels.file }), input);
    root.prepend(zone);
    for (const kind of ["dragover", "dragenter"]) root.addEventListener(kind, (event) => { event.preventDefault(); root.classList.add("over"); });
    for (const kind of ["dragleave", "drop"]) root.addEventListener(kind, () => root.classList.remove("over"));
    root.addEventListener("drop", (event) => { event.preventDefault(); take(event.dataTransfer.files); });
    document.addEventListener("paste", (event) => { if (event.clipboardData.files.length) take(event.clipboardData.files); });
  });
})();
