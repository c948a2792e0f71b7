/* A diffusion model of points in the plane, small enough to be read aloud. No library, no page: toy.js draws it.
   Notation as in the notebooks: x0 a point, t a timestep of 0..999, eps Gaussian noise, a_t the share of the
   variance that still comes from the point. The network is asked for eps. */
"use strict";

const Toy = (() => {
  const T = 1000;

  // The noise schedule of DDPM, as in notebook 01: betas linear from 0.0001 to 0.02, a_t their running product.
  const alphasCumprod = new Float64Array(T);
  for (let t = 0, product = 1; t < T; t++) {
    product *= 1 - (0.0001 + (0.02 - 0.0001) * t / (T - 1));
    alphasCumprod[t] = product;
  }

  // Random numbers from a seed, so that the same seed always tells the same story (mulberry32).
  function randomNumbers(seed) {
    let state = seed >>> 0;
    const uniform = () => {
      state = (state + 0x6D2B79F5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    };
    // Box and Muller: two uniform numbers make a Gaussian one.
    const gaussian = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
    return { uniform, gaussian };
  }

  // The forward step in one jump: x_t = sqrt(a_t) x0 + sqrt(1 - a_t) eps.
  function addNoise(x0, eps, t) {
    const a = alphasCumprod[t];
    return Math.sqrt(a) * x0 + Math.sqrt(1 - a) * eps;
  }

  // What the network is told of (x, y, t): waves of the place and of the time, as sines and cosines of some speeds.
  const INPUTS = 20;
  function describe(x, y, t, into) {
    const a = alphasCumprod[t];
    into[0] = x; into[1] = y; into[2] = Math.sqrt(a); into[3] = Math.sqrt(1 - a);
    let next = 4;
    for (const speed of [1, 2, 4]) {
      into[next++] = Math.sin(speed * x); into[next++] = Math.cos(speed * x);
      into[next++] = Math.sin(speed * y); into[next++] = Math.cos(speed * y);
    }
    for (const speed of [1, 3]) {
      into[next++] = Math.sin(speed * Math.PI * t / T); into[next++] = Math.cos(speed * Math.PI * t / T);
    }
  }

  /* The noise predictor eps_theta(x_t, t): three layers with a bend (silu) between them.
     All weights lie in one row, one layer after the other: for each output its bias, then a weight for each input. */
  class NoisePredictor {
    constructor(seed, width = 48) {
      this.sizes = [INPUTS, width, width, 2];
      this.starts = [0];
      for (let layer = 0; layer < 3; layer++)
        this.starts.push(this.starts[layer] + this.sizes[layer + 1] * (this.sizes[layer] + 1));
      this.weights = new Float64Array(this.starts[3]);
      const { gaussian } = randomNumbers(seed);
      for (let layer = 0; layer < 3; layer++) {
        const inputs = this.sizes[layer];
        for (let at = this.starts[layer]; at < this.starts[layer + 1]; at++)
          if ((at - this.starts[layer]) % (inputs + 1)) // a bias starts at zero
            this.weights[at] = gaussian() * Math.sqrt((layer === 2 ? 0.01 : 1) / inputs);
      }
      this.values = this.sizes.map((size) => new Float64Array(size)); // what each layer hands on
      this.sums = this.sizes.map((size) => new Float64Array(size)); // the same before the bend
      this.slopes = this.sizes.map((size) => new Float64Array(size)); // how the loss changes with the sums
    }

    // The two numbers that the network calls noise at (x, y) and t. They are overwritten by the next call.
    predict(x, y, t, weights = this.weights) {
      describe(x, y, t, this.values[0]);
      for (let layer = 0; layer < 3; layer++) {
        const from = this.values[layer], to = this.values[layer + 1], sums = this.sums[layer + 1];
        let at = this.starts[layer];
        for (let j = 0; j < to.length; j++) {
          let sum = weights[at++];
          for (let i = 0; i < from.length; i++) sum += weights[at++] * from[i];
          sums[j] = sum;
          to[j] = layer === 2 ? sum : sum / (1 + Math.exp(-sum)); // silu; the last layer is straight
        }
      }
      return this.values[3];
    }

    /* Backpropagation by hand. `predict` was called just before; the loss is (eps - eps_theta)^2, the mean of both numbers.
       From the last layer to the first: a weight's slope is the slope of its sum times what came in. */
    backward(epsX, epsY, gradient) {
      const slopes = this.slopes, answer = this.values[3];
      slopes[3][0] = answer[0] - epsX;
      slopes[3][1] = answer[1] - epsY;
      for (let layer = 2; layer >= 0; layer--) {
        const from = this.values[layer], above = slopes[layer + 1], below = slopes[layer];
        let at = this.starts[layer];
        below.fill(0);
        for (let j = 0; j < above.length; j++) {
          gradient[at++] += above[j];
          for (let i = 0; i < from.length; i++, at++) {
            gradient[at] += above[j] * from[i];
            below[i] += above[j] * this.weights[at];
          }
        }
        if (layer > 0) for (let i = 0; i < from.length; i++) { // through the bend: the slope of silu
          const s = 1 / (1 + Math.exp(-this.sums[layer][i]));
          below[i] *= s * (1 + this.sums[layer][i] * (1 - s));
        }
      }
      return (slopes[3][0] ** 2 + slopes[3][1] ** 2) / 2;
    }
  }

  /* Training, a step at a time, as in notebook 04: draw points, timesteps and noise; compare; move every weight a little
     (Adam). What is kept in the end is a moving average of the weights. */
  class Trainer {
    constructor(cloud, seed, steps = 1500, batch = 128) {
      Object.assign(this, { cloud, steps, batch, step: 0, losses: [] });
      this.network = new NoisePredictor(seed);
      this.random = randomNumbers(seed + 1);
      const count = this.network.weights.length;
      this.gradient = new Float64Array(count);
      this.mean = new Float64Array(count); // Adam's memory: the mean slope of each weight,
      this.square = new Float64Array(count); // and the mean of its square
      this.average = this.network.weights.slice();
    }

    get done() { return this.step >= this.steps; }

    // One step; returns its loss.
    trainStep() {
      const { uniform, gaussian } = this.random, { network, gradient, cloud, batch } = this;
      let loss = 0;
      gradient.fill(0);
      for (let n = 0; n < batch; n++) {
        const [x, y] = cloud[Math.floor(uniform() * cloud.length)];
        const t = Math.floor(uniform() * T), epsX = gaussian(), epsY = gaussian();
        network.predict(addNoise(x, epsX, t), addNoise(y, epsY, t), t);
        loss += network.backward(epsX, epsY, gradient) / batch;
      }
      this.step++;
      const rate = 0.008 * Math.min(1, this.step / 50) * (0.52 + 0.48 * Math.cos(Math.PI * this.step / this.steps));
      const fade1 = 1 - 0.9 ** this.step, fade2 = 1 - 0.99 ** this.step, keep = Math.min(0.99, this.step / (this.step + 10));
      for (let i = 0; i < gradient.length; i++) {
        const slope = gradient[i] / batch;
        this.mean[i] = 0.9 * this.mean[i] + 0.1 * slope;
        this.square[i] = 0.99 * this.square[i] + 0.01 * slope * slope;
        network.weights[i] -= rate * (this.mean[i] / fade1) / (Math.sqrt(this.square[i] / fade2) + 1e-8);
        this.average[i] = keep * this.average[i] + (1 - keep) * network.weights[i];
      }
      this.losses.push(loss);
      return loss;
    }
  }

  /* The way back (DDIM, notebook 02): guess x0, then go to the earlier timestep with the same noise.
     Returns all stations, from pure noise to points: [{ t, points }, ...]. */
  function walkBack(network, weights, count, steps, seed) {
    const { gaussian } = randomNumbers(seed);
    let points = Array.from({ length: count }, () => [gaussian(), gaussian()]);
    const stations = [{ t: T - 1, points }];
    for (let n = 0; n < steps; n++) {
      const t = Math.round((T - 1) * (1 - n / steps)), before = Math.round((T - 1) * (1 - (n + 1) / steps));
      const a = alphasCumprod[t], b = n + 1 < steps ? alphasCumprod[before] : 1;
      points = points.map((point) => {
        const eps = network.predict(point[0], point[1], t, weights);
        return point.map((value, axis) => {
          const x0 = Math.max(-2.2, Math.min(2.2, (value - Math.sqrt(1 - a) * eps[axis]) / Math.sqrt(a)));
          const noise = (value - Math.sqrt(a) * x0) / Math.sqrt(1 - a);
          return Math.sqrt(b) * x0 + Math.sqrt(1 - b) * noise;
        });
      });
      stations.push({ t: n + 1 < steps ? before : 0, points });
    }
    return stations;
  }

  /* One forward step from a place, and what the network calls noise there, `draws` times.
     Returns { added, predicted, residual }: residual is the mean length of predicted minus added. */
  function ask(network, weights, place, t, draws, seed) {
    const { gaussian } = randomNumbers(seed), added = [], predicted = [];
    let residual = 0;
    for (let n = 0; n < draws; n++) {
      const eps = [gaussian(), gaussian()];
      const said = network.predict(addNoise(place[0], eps[0], t), addNoise(place[1], eps[1], t), t, weights);
      added.push(eps);
      predicted.push([said[0], said[1]]);
      residual += Math.hypot(said[0] - eps[0], said[1] - eps[1]) / draws;
    }
    return { added, predicted, residual };
  }

  return { T, alphasCumprod, randomNumbers, addNoise, NoisePredictor, Trainer, walkBack, ask };
})();

if (typeof module !== "undefined") module.exports = Toy; // for a test outside of a page
