/* The toy in the page: draw a cloud, noise it, train on it, walk back, ask off the cloud. The model is toy_model.js. */
"use strict";

(() => {
  const EDGE = 2.4; // the plane reaches from -EDGE to EDGE
  const KEPT = "radar-toy"; // the cloud and the trained weights go with the reader from page to page
  const STEPS = 3000, BACK_STEPS = 50, SEED = 0, ENOUGH = 20, MOST = 500;

  const STAGES = {
    draw: { name: "Draw", slider: null,
            say: "Draw the normal cloud: mouse, finger, or arrow keys and space on the plane." },
    noise: { name: "Add noise", slider: ["timestep t", 0, 999, 100],
             say: "Forward: every point is pulled to the middle a little and gets noise. Move t." },
    train: { name: "Train", slider: null,
             say: "A network learns to guess the noise. Arrows: what it calls noise at each place, at t = 300." },
    back: { name: "Walk back", slider: ["steps back", 0, BACK_STEPS, 0],
            say: "Backward: pure noise, and in each step a little of what the network calls noise is taken off." },
    off: { name: "Ask off the cloud", slider: ["timestep t", 0, 300, 50],
           say: "One step of noise at the cross, and one question. Orange: here the network calls much noise." },
  };

  const CLOUDS = {
    Ring: (k, g) => [1.2 * Math.cos(2 * Math.PI * k) + 0.06 * g(), 1.2 * Math.sin(2 * Math.PI * k) + 0.06 * g()],
    "Two moons": (k, g) => {
      const side = k < 0.5 ? 1 : -1, angle = 2 * Math.PI * (k % 0.5);
      return [side * (-0.5 + Math.cos(angle)) + 0.06 * g(), side * (-0.2 + Math.sin(angle)) + 0.06 * g()];
    },
    Beads: (k, g) => { // three lines side by side, like the beads of a printed surface
      const line = Math.floor(3 * k) - 1;
      return [0.8 * line + 0.06 * g(), 3.2 * ((3 * k) % 1) - 1.6 + 0.02 * g()];
    },
  };

  function make(tag, properties = {}, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  class ToyView {
    constructor(root) {
      this.root = root;
      this.cross = [1.6, 1.6];
      this.sliders = {};
      for (const [stage, { slider }] of Object.entries(STAGES)) this.sliders[stage] = slider ? slider[3] : 0;
      this.build();
      this.recall();
      if (!this.cloud) this.choose("Two moons");
      this.show(root.dataset.stage || "draw");
      new MutationObserver(() => this.draw()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    }

    // ---- the page
    build() {
      const { root } = this, button = (name, act) => make("button", { type: "button", textContent: name, onclick: act });
      const group = `toy-stage-${Math.random()}`;
      this.choice = make("fieldset", { className: "toy-stages" }, make("legend", { textContent: "What to do" }));
      for (const [stage, { name }] of Object.entries(STAGES)) {
        const radio = make("input", { type: "radio", name: group, value: stage, onchange: () => this.show(stage) });
        this.choice.append(make("label", {}, radio, make("span", { textContent: name })));
      }
      this.plane = make("canvas", { width: 640, height: 640, tabIndex: 0, className: "toy-plane" });
      this.plane.setAttribute("role", "application");
      this.side = make("canvas", { width: 400, height: 260, className: "toy-side" });
      this.side.setAttribute("role", "img");
      this.say = make("p", { className: "toy-say" });
      this.told = make("p", { className: "toy-told" });
      this.told.setAttribute("role", "status");
      this.range = make("input", { type: "range", oninput: () => { this.pause(); this.slide(Number(this.range.value)); } });
      this.rangeName = make("span");
      this.rangeLabel = make("label", { className: "toy-range" }, this.rangeName, this.range);
      this.clouds = make("div", { className: "toy-buttons" },
        ...Object.keys(CLOUDS).map((name) => button(name, () => { this.choose(name); this.show("draw"); })),
        button("Empty", () => { this.newCloud([]); this.show("draw"); }));
      this.trainButton = button("Train: about 10 seconds", () => (this.trainer ? this.stop() : this.train()));
      this.playButton = button("Play", () => (this.playing ? this.pause() : this.play()));
      this.places = make("div", { className: "toy-buttons" },
        button("Cross on the cloud", () => this.moveCross(...this.cloud[Math.floor(this.cloud.length / 3)])),
        button("Cross off the cloud", () => this.moveCross(...this.farPlace())));
      const controls = make("div", { className: "toy-controls" }, this.say, this.clouds, this.trainButton, this.playButton,
        this.rangeLabel, this.places, this.told, this.side);
      root.replaceChildren(this.choice, make("div", { className: "toy-body" }, this.plane, controls));
      this.listen();
    }

    listen() {
      const plane = this.plane;
      let down = false;
      const place = (event) => {
        const box = plane.getBoundingClientRect();
        return [(2 * (event.clientX - box.left) / box.width - 1) * EDGE, (1 - 2 * (event.clientY - box.top) / box.height) * EDGE];
      };
      const use = (event) => {
        const [x, y] = place(event);
        this.moveCross(x, y);
        if (this.stage === "draw") this.dab();
      };
      plane.addEventListener("pointerdown", (event) => {
        if (this.stage !== "draw" && this.stage !== "off") return;
        down = true;
        plane.setPointerCapture(event.pointerId);
        use(event);
      });
      plane.addEventListener("pointermove", (event) => { if (down) use(event); });
      for (const end of ["pointerup", "pointercancel"]) plane.addEventListener(end, () => { down = false; });
      plane.addEventListener("keydown", (event) => {
        const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
        if (move) this.moveCross(this.cross[0] + 0.1 * move[0], this.cross[1] + 0.1 * move[1]);
        else if (event.key === " " && this.stage === "draw") this.dab();
        else return;
        event.preventDefault();
      });
      for (const change of ["focus", "blur"]) plane.addEventListener(change, () => this.draw());
    }

    show(stage) {
      this.pause();
      this.stage = this.root.dataset.stage = stage;
      const { slider, say } = STAGES[stage], ready = Boolean(this.weights);
      this.choice.querySelector(`[value=${stage}]`).checked = true;
      this.say.textContent = say;
      const needs = (stage === "back" || stage === "off") && !ready; // these need a trained network
      this.clouds.hidden = stage !== "draw";
      this.places.hidden = stage !== "off" || needs;
      this.trainButton.hidden = !(stage === "train" || needs);
      this.playButton.hidden = stage !== "back" || needs;
      this.rangeLabel.hidden = !slider || needs;
      if (slider) Object.assign(this.range, { min: slider[1], max: slider[2], value: this.sliders[stage] });
      this.plane.style.touchAction = stage === "draw" || stage === "off" ? "none" : "auto";
      this.draw();
      this.tell(needs ? "The network has not been trained on this cloud yet." : this.words());
    }

    slide(value) {
      this.sliders[this.stage] = value;
      this.range.value = value;
      this.draw();
      this.tell(this.words());
    }

    tell(words) {
      this.told.textContent = words;
      if (this.rangeLabel.hidden) return;
      this.rangeName.textContent = `${STAGES[this.stage].slider[0]} = ${this.range.value}`;
    }

    // ---- the cloud
    choose(name) {
      const { gaussian } = Toy.randomNumbers(SEED + 1);
      this.newCloud(Array.from({ length: 300 }, (_, k) => CLOUDS[name](k / 300, gaussian)));
    }

    newCloud(points) {
      this.stop();
      this.cloud = points.slice(-MOST);
      this.network = this.weights = this.stations = this.losses = null;
      this.keep();
    }

    dab() {
      const { gaussian } = (this.brush ||= Toy.randomNumbers(SEED + 2));
      const near = () => this.cross.map((value) => Math.max(-2, Math.min(2, value + 0.06 * gaussian())));
      this.newCloud([...this.cloud, near(), near(), near()]);
      this.draw();
      this.tell(this.words());
    }

    moveCross(x, y) {
      this.cross = [x, y].map((value) => Math.max(-2.2, Math.min(2.2, value)));
      this.draw();
      this.tell(this.words());
    }

    distance([x, y]) { return Math.min(...this.cloud.map(([a, b]) => Math.hypot(x - a, y - b))); }

    farPlace() { // the place of a coarse grid that is farthest from the cloud
      const line = [-1.8, -0.9, 0, 0.9, 1.8], places = line.flatMap((x) => line.map((y) => [x, y]));
      return places.reduce((best, place) => (this.distance(place) > this.distance(best) ? place : best));
    }

    // ---- training: a few steps, then the page may breathe
    train() {
      if (this.cloud.length < ENOUGH) return this.tell(`Draw more first: ${this.cloud.length} points, at least ${ENOUGH} are needed.`);
      this.show("train");
      this.trainer = new Toy.Trainer(this.cloud, SEED, STEPS);
      this.trainButton.textContent = "Stop";
      const some = () => {
        const trainer = this.trainer;
        if (!trainer) return;
        const until = performance.now() + 30;
        do trainer.trainStep(); while (!trainer.done && performance.now() < until);
        Object.assign(this, { network: trainer.network, weights: trainer.average, losses: trainer.losses });
        this.draw();
        if (!trainer.done) return void setTimeout(some, 0);
        this.stop();
        this.show(this.stage);
      };
      this.tell("Training has begun.");
      setTimeout(some, 0);
    }

    stop() {
      if (!this.trainer) return;
      this.trainer = null;
      this.stations = null;
      this.trainButton.textContent = "Train again";
      this.keep();
      this.tell(this.words());
    }

    // ---- the way back
    play() {
      let at = this.sliders.back < BACK_STEPS ? this.sliders.back : 0;
      this.playButton.textContent = "Pause";
      this.playing = setInterval(() => {
        this.slide(at);
        if (at++ >= BACK_STEPS) this.pause();
      }, 80);
    }

    pause() {
      clearInterval(this.playing);
      this.playing = null;
      this.playButton.textContent = "Play";
    }

    // ---- what is said
    words() {
      const t = this.sliders[this.stage];
      if (this.stage === "draw") return `${this.cloud.length} points.`;
      if (this.stage === "noise") {
        const a = Toy.alphasCumprod[t];
        return `At t = ${t}, ${Math.round(100 * a)} % of the variance is left from the cloud, ${Math.round(100 * (1 - a))} % is noise.`;
      }
      if (this.stage === "train") {
        if (!this.losses) return "The loss of an untrained network is about 1.";
        const last = this.losses.slice(-100), loss = last.reduce((sum, one) => sum + one, 0) / last.length;
        return `${this.losses.length} of ${STEPS} steps, loss ${loss.toFixed(2)} (mean of the last 100), ` +
               `${this.weights.length.toLocaleString("en")} weights.`;
      }
      if (!this.weights) return "The network has not been trained on this cloud yet.";
      if (this.stage === "back") return t < BACK_STEPS ? `t = ${this.walk()[t].t}` : "t = 0: new points, near the cloud. Nobody drew them.";
      const here = this.asked(this.cross), there = this.usual();
      const times = here.residual / there, away = this.distance(this.cross);
      return `The cross is ${away.toFixed(1)} away from the cloud. Predicted minus added noise: ${here.residual.toFixed(1)} here, ` +
             `${there.toFixed(1)} on the cloud. ${times > 1.6 ? "Broken: too much is called noise." : "Normal: about as on the cloud."}`;
    }

    walk() { return (this.stations ||= Toy.walkBack(this.network, this.weights, 300, BACK_STEPS, SEED + 5)); }

    asked(place, draws = 100) { return Toy.ask(this.network, this.weights, place, this.sliders.off, draws, SEED + 6); }

    usual() { // the same question at twelve points of the cloud: the median
      const all = Array.from({ length: 12 }, (_, n) => this.asked(this.cloud[Math.floor(n * this.cloud.length / 12)], 30).residual);
      return all.sort((a, b) => a - b)[6];
    }

    // ---- pictures
    colour(name) { return getComputedStyle(this.root).getPropertyValue(`--toy-${name}`).trim(); }

    draw() {
      const pen = this.plane.getContext("2d"), { stage } = this;
      pen.fillStyle = this.colour("paper");
      pen.fillRect(0, 0, 640, 640);
      const trained = Boolean(this.weights);
      if (stage === "off" && trained) this.drawHeat(pen);
      this.drawPoints(pen, this.cloud, this.colour("cloud"), stage === "draw" ? 1 : 0.45);
      if (stage === "noise") this.drawPoints(pen, this.noised(), this.colour("noise"), 0.9);
      if (stage === "train" && trained) this.drawArrows(pen);
      if (stage === "back" && trained) this.drawPoints(pen, this.walk()[this.sliders.back].points, this.colour("noise"), 0.9);
      if (stage === "off" || (stage === "draw" && document.activeElement === this.plane)) this.drawCross(pen);
      this.drawSide();
      this.plane.setAttribute("aria-label", `The plane: ${{
        draw: "the cloud that you draw. Arrow keys move the cross, space draws points.",
        noise: "the cloud, and the same points with noise.", train: "arrows that show what the network calls noise.",
        back: "points on their way from noise to the cloud.",
        off: "how much the network calls noise at each place. Arrow keys move the cross." }[stage]}`);
    }

    noised() {
      const { gaussian } = Toy.randomNumbers(SEED + 3), t = this.sliders.noise;
      return this.cloud.map((point) => point.map((value) => Toy.addNoise(value, gaussian(), t)));
    }

    drawPoints(pen, points, colour, strength) {
      pen.fillStyle = colour;
      pen.globalAlpha = strength;
      for (const [x, y] of points) {
        pen.beginPath();
        pen.arc(320 * (1 + x / EDGE), 320 * (1 - y / EDGE), 4.5, 0, 7);
        pen.fill();
      }
      pen.globalAlpha = 1;
    }

    drawCross(pen) {
      const x = 320 * (1 + this.cross[0] / EDGE), y = 320 * (1 - this.cross[1] / EDGE);
      for (const [width, colour] of [[9, this.colour("paper")], [4, this.colour("ink")]]) {
        Object.assign(pen, { lineWidth: width, strokeStyle: colour });
        pen.beginPath();
        pen.moveTo(x - 14, y); pen.lineTo(x + 14, y); pen.moveTo(x, y - 14); pen.lineTo(x, y + 14);
        pen.stroke();
      }
    }

    drawArrows(pen) {
      Object.assign(pen, { lineWidth: 2.5, strokeStyle: this.colour("noise") });
      for (let row = 0; row < 15; row++) for (let column = 0; column < 15; column++) {
        const x = -2.1 + 0.3 * column, y = -2.1 + 0.3 * row, [u, v] = this.network.predict(x, y, 300, this.weights);
        const px = 320 * (1 + x / EDGE), py = 320 * (1 - y / EDGE), dx = 14 * u, dy = -14 * v, length = Math.hypot(dx, dy) || 1;
        pen.beginPath();
        pen.moveTo(px, py); pen.lineTo(px + dx, py + dy);
        pen.moveTo(px + dx - 5 * (dx - dy / 2) / length, py + dy - 5 * (dy + dx / 2) / length);
        pen.lineTo(px + dx, py + dy);
        pen.lineTo(px + dx - 5 * (dx + dy / 2) / length, py + dy - 5 * (dy - dx / 2) / length);
        pen.stroke();
      }
    }

    drawHeat(pen) { // how long the answer is when no noise at all was added
      const cells = 40, side = 640 / cells;
      pen.fillStyle = this.colour("noise");
      for (let row = 0; row < cells; row++) for (let column = 0; column < cells; column++) {
        const x = EDGE * (2 * (column + 0.5) / cells - 1), y = EDGE * (1 - 2 * (row + 0.5) / cells);
        const [u, v] = this.network.predict(x, y, this.sliders.off, this.weights);
        pen.globalAlpha = Math.min(0.85, Math.hypot(u, v) / 6);
        pen.fillRect(column * side, row * side, side, side);
      }
      pen.globalAlpha = 1;
    }

    drawSide() { // beside the plane: the loss, or the answers at the cross
      const pen = this.side.getContext("2d"), shown = Boolean(this.weights) && ["train", "off"].includes(this.stage);
      this.side.hidden = !shown;
      if (!shown) return;
      pen.clearRect(0, 0, 400, 260);
      Object.assign(pen, { font: "15px system-ui, sans-serif", fillStyle: this.colour("ink"), strokeStyle: this.colour("ink"), lineWidth: 2 });
      if (this.stage === "train") this.drawLoss(pen); else this.drawAnswers(pen);
    }

    drawLoss(pen) {
      const losses = this.losses || [];
      this.side.setAttribute("aria-label", "The loss, falling from about 1 over the steps of the training.");
      pen.fillText("loss (mean squared error)", 44, 18);
      for (const value of [0, 0.5, 1]) pen.fillText(value.toFixed(1), 8, 238 - 180 * value);
      pen.strokeRect(40, 30, 350, 203);
      pen.strokeStyle = this.colour("noise");
      pen.beginPath();
      for (let n = 0; n < losses.length; n += 10) {
        const part = losses.slice(n, n + 10), mean = part.reduce((sum, one) => sum + one, 0) / part.length;
        pen.lineTo(40 + 350 * n / STEPS, 233 - 180 * Math.min(1.1, mean));
      }
      pen.stroke();
    }

    drawAnswers(pen) {
      const { added, predicted } = this.asked(this.cross), at = ([u, v]) => [200 + 18 * u, 138 - 18 * v];
      this.side.setAttribute("aria-label", "A hundred draws of noise at the cross, and what the network calls noise for each of them.");
      pen.fillText("100 draws: blue added, orange called noise", 8, 18);
      for (const [points, name] of [[added, "cloud"], [predicted, "noise"]]) {
        pen.fillStyle = this.colour(name);
        for (const point of points) {
          const [x, y] = at(point);
          pen.beginPath();
          pen.arc(Math.max(4, Math.min(396, x)), Math.max(28, Math.min(256, y)), 3, 0, 7);
          pen.fill();
        }
      }
    }

    // ---- what stays in this browser
    keep() {
      try {
        const weights = this.weights && Array.from(this.weights, (value) => Number(value.toFixed(5)));
        const cloud = this.cloud.map((point) => point.map((value) => Number(value.toFixed(3))));
        localStorage.setItem(KEPT, JSON.stringify({ cloud, weights, losses: this.losses && this.losses.map((one) => Number(one.toFixed(3))) }));
      } catch { /* a browser that keeps nothing: then each page begins anew */ }
    }

    recall() {
      try {
        const { cloud, weights, losses } = JSON.parse(localStorage.getItem(KEPT));
        const network = new Toy.NoisePredictor(SEED);
        this.cloud = cloud.map(([x, y]) => [Number(x), Number(y)]);
        if (!weights || weights.length !== network.weights.length) return;
        Object.assign(this, { network, weights: Float64Array.from(weights), losses });
        this.trainButton.textContent = "Train again";
      } catch { /* nothing kept */ }
    }
  }

  for (const root of document.querySelectorAll(".toy")) root.toy = new ToyView(root);
})();
