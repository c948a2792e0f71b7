/* RADAR's arithmetic in plain JavaScript: what radar_nb/method does around the U-Net. No page, no library.
   Maps are Float32Array, rows one after the other, height h and width w; images are grey. */
"use strict";

const RadarMaths = (() => {
  const T = 1000;

  // ---- diffusion.py: the noise schedule of DDPM, and the forward step
  const alphasCumprod = new Float64Array(T);
  for (let t = 0, product = 1; t < T; t++) {
    product *= 1 - (0.0001 + (0.02 - 0.0001) * t / (T - 1));
    alphasCumprod[t] = product;
  }

  function addNoise(x0, eps, t) {
    const image = Math.sqrt(alphasCumprod[t]), noise = Math.sqrt(1 - alphasCumprod[t]);
    return x0.map((value, i) => image * value + noise * eps[i]);
  }

  /* One step back from t to `previous` < t, -1 for the clean image (DDIM, as `reverse_step` with eta = 0; with eta > 0,
     `noise` is added). */
  function reverseStep(x, eps, t, previous, eta = 0, noise = null) {
    const a = alphasCumprod[t], b = previous >= 0 ? alphasCumprod[previous] : 1;
    const sigma = eta * Math.sqrt((1 - b) / (1 - a) * (1 - a / b)), rest = Math.sqrt(Math.max(0, 1 - b - sigma * sigma));
    return x.map((value, i) => {
      const x0 = Math.max(-1, Math.min(1, (value - Math.sqrt(1 - a) * eps[i]) / Math.sqrt(a)));
      const direction = (value - Math.sqrt(a) * x0) / Math.sqrt(1 - a);
      return Math.sqrt(b) * x0 + rest * direction + (sigma ? sigma * noise[i] : 0);
    });
  }

  /* The numbers that `torch.randn` gives from a seed, at least 16 of them: Mersenne Twister, 24 bits for each uniform number,
     Box and Muller in blocks of 16. */
  function randn(count, seed) {
    const state = new Uint32Array(624);
    state[0] = seed;
    for (let i = 1; i < 624; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
    let next = 624;
    const uniform = () => {
      if (next === 624) {
        for (let i = 0; i < 624; i++) {
          const joined = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
          state[i] = state[(i + 397) % 624] ^ (joined >>> 1) ^ (joined & 1 ? 0x9908b0df : 0);
        }
        next = 0;
      }
      let y = state[next++];
      y ^= y >>> 11;
      y ^= (y << 7) & 0x9d2c5680;
      y ^= (y << 15) & 0xefc60000;
      return ((y ^ (y >>> 18)) & 0xffffff) / 0x1000000;
    };
    const values = Float32Array.from({ length: count }, uniform);
    const toGaussian = (start) => {
      for (let i = start; i < start + 8; i++) {
        const radius = Math.sqrt(-2 * Math.log(1 - values[i])), angle = 2 * Math.PI * values[i + 8];
        values[i] = radius * Math.cos(angle);
        values[i + 8] = radius * Math.sin(angle);
      }
    };
    for (let start = 0; start + 16 <= count; start += 16) toGaussian(start);
    if (count % 16) { // the last 16 anew
      for (let i = count - 16; i < count; i++) values[i] = uniform();
      toGaussian(count - 16);
    }
    return values;
  }

  // ---- features.py
  // Correlate along rows and columns with two kernels of odd length; beyond the edge the map is mirrored.
  function correlate(map, h, w, down, across) {
    const mirror = (i, n) => { while (i < 0 || i >= n) i = i < 0 ? -1 - i : 2 * n - 1 - i; return i; };
    const pass = (from, to, kernel, length, lines, step, lineStep) => {
      const reach = kernel.length >> 1, padded = new Float64Array(length + 2 * reach);
      for (let line = 0; line < lines; line++) {
        for (let i = -reach; i < length + reach; i++) padded[i + reach] = from[line * lineStep + mirror(i, length) * step];
        for (let i = 0; i < length; i++) {
          let sum = 0;
          for (let k = 0; k < kernel.length; k++) sum += kernel[k] * padded[i + k];
          to[line * lineStep + i * step] = sum;
        }
      }
    };
    const half = new Float64Array(h * w), result = new Float64Array(h * w);
    pass(map, half, down, h, w, w, 1);
    pass(half, result, across, w, h, 1, w);
    return result;
  }

  function gaussianKernel(deviation, reach) {
    const weights = Array.from({ length: 2 * reach + 1 }, (_, i) => Math.exp(-0.5 * ((i - reach) / deviation) ** 2));
    const sum = weights.reduce((a, b) => a + b);
    return weights.map((weight) => weight / sum);
  }

  function blur(map, h, w, kernel) { // `kernel`: its side in pixels, with OpenCV's deviation for it
    if (kernel === 1) return map;
    const weights = gaussianKernel(0.3 * ((kernel - 1) / 2 - 1) + 0.8, kernel >> 1);
    return Float32Array.from(correlate(map, h, w, weights, weights));
  }

  function smooth(map, h, w, deviation) { // as scipy.ndimage.gaussian_filter
    const weights = gaussianKernel(deviation, Math.floor(4 * deviation + 0.5));
    return Float32Array.from(correlate(map, h, w, weights, weights));
  }

  function sobel(map, h, w, kernel) { // the length of the gradient
    const wider = (row) => [...row, 0].map((value, i) => value + (i ? row[i - 1] : 0));
    let smoothing = [1, 2, 1], difference = [-1, 0, 1];
    for (let side = 3; side < kernel; side++) { smoothing = wider(smoothing); difference = wider(difference); }
    const down = correlate(map, h, w, difference, smoothing), across = correlate(map, h, w, smoothing, difference);
    return Float32Array.from(down, (value, i) => Math.hypot(value, across[i]));
  }

  function globalNorm(map) {
    let sum = 0;
    for (const value of map) sum += value * value;
    return Math.sqrt(sum / map.length);
  }

  function localNorm(map, h, w, window) { // the largest norm in a window, by sums that slide
    const columns = new Float64Array(w);
    let most = 0;
    for (let row = 0; row < h; row++) {
      for (let c = 0; c < w; c++) {
        columns[c] += map[row * w + c] ** 2;
        if (row >= window) columns[c] -= map[(row - window) * w + c] ** 2;
      }
      if (row < window - 1) continue;
      let sum = 0;
      for (let c = 0; c < w; c++) {
        sum += columns[c];
        if (c >= window) sum -= columns[c - window];
        if (c >= window - 1 && sum > most) most = sum;
      }
    }
    return Math.sqrt(most) / window;
  }

  function features(map, h, w, window) {
    return [globalNorm(map), localNorm(map, h, w, Math.min(window, h, w))];
  }

  // ---- forest.py: from two features to a score; higher is more normal
  function forestScore(forest, point) {
    const single = Float32Array.from(point);
    let sum = 0;
    for (let node of forest.roots) {
      for (let level = 0; level < forest.depth; level++) // a leaf is its own child
        node = single[forest.feature[node]] <= forest.threshold[node] ? forest.left[node] : forest.right[node];
      sum += forest.length[node];
    }
    return -(2 ** (-sum / forest.trees / forest.scale));
  }

  // ---- unet.py: an image whose sides are multiples of the U-Net's grid, by reflection
  function padToGrid(map, h, w, grid) {
    const height = Math.ceil(h / grid) * grid, width = Math.ceil(w / grid) * grid;
    if (height === h && width === w) return { map, height, width };
    const reflect = height - h < h && width - w < w;
    const place = (i, n) => (i < n ? i : reflect ? 2 * n - 2 - i : n - 1);
    const padded = new Float32Array(height * width);
    for (let row = 0; row < height; row++)
      for (let column = 0; column < width; column++) padded[row * width + column] = map[place(row, h) * w + place(column, w)];
    return { map: padded, height, width };
  }

  function crop(map, width, h, w) {
    if (map.length === h * w) return map;
    const cropped = new Float32Array(h * w);
    for (let row = 0; row < h; row++) cropped.set(map.subarray(row * width, row * width + w), row * w);
    return cropped;
  }

  return { T, alphasCumprod, addNoise, reverseStep, randn, blur, smooth, sobel, globalNorm, localNorm, features, forestScore,
    padToGrid, crop };
})();
