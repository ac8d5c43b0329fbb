/**
 * The kernels of the device, in the JavaScript that gpu.js translates. They are text and not functions, so that a bundler that shortens
 * code cannot turn them into something gpu.js does not read. `this.thread.y` is the row and `this.thread.x` the column of
 * the number that is computed; tensors are read as `x[row][column]`, and whatever the host says comes as one list of numbers.
 *
 * Quotients of whole numbers are taken at their middle (`+ 0.5`), because a GPU may divide 6 by 3 and get 1.9999999.
 */
export const kernelSources = {
  copy: `function (x) { return x[this.thread.y][this.thread.x]; }`,

  /** Without arithmetic, which may lose the smallest numbers. */
  pick: `function (x, rows) { return x[rows[this.thread.y]][this.thread.x]; }`,

  scaledPick: `function (x, rows, numbers) { return numbers[0] * x[rows[this.thread.y]][this.thread.x]; }`,

  add: `function (a, b) {
    return a[this.thread.y][this.thread.x] + b[this.thread.y][this.thread.x];
  }`,

  /** numbers: inputs */
  linear: `function (x, weight, numbers) {
    let sum = 0;
    for (let k = 0; k < numbers[0]; k++) {
      sum += x[this.thread.y][k] * weight[this.thread.x][k];
    }
    return sum;
  }`,

  addRow: `function (x, bias) { return x[this.thread.y][this.thread.x] + bias[0][this.thread.x]; }`,

  /** Mean squares of groups. numbers: width */
  meanSquares: `function (x, numbers) {
    let sum = 0;
    for (let c = 0; c < numbers[0]; c++) {
      const value = x[this.thread.y][this.thread.x * numbers[0] + c];
      sum += value * value;
    }
    return sum / numbers[0];
  }`,

  /** numbers: width, epsilon */
  normed: `function (x, squares, weight, numbers) {
    const group = Math.floor((this.thread.x + 0.5) / numbers[0]);
    const root = Math.sqrt(squares[this.thread.y][group] + numbers[1]);
    return x[this.thread.y][this.thread.x] / root * weight[0][this.thread.x - group * numbers[0]];
  }`,

  silu: `function (gate, up) {
    const x = gate[this.thread.y][this.thread.x];
    let share = 0;
    if (x > -80) { share = 1 / (1 + Math.exp(-x)); }
    if (x != x) { share = x; }
    return x * share * up[this.thread.y][this.thread.x];
  }`,

  "gelu-tanh": `function (gate, up) {
    const x = gate[this.thread.y][this.thread.x];
    const u = Math.max(-30, Math.min(30, x));
    const angle = 1.5957691216057308 * (u + 0.044715 * u * u * u);
    let share = 0;
    if (angle > -80) { share = 1 / (1 + Math.exp(-angle)); }
    if (x != x) { share = x; }
    return x * share * up[this.thread.y][this.thread.x];
  }`,

  /** tanh by a continued fraction near zero, by the exponential beyond. numbers: cap */
  cap: `function (x, numbers) {
    const value = x[this.thread.y][this.thread.x] / numbers[0];
    const size = Math.min(Math.abs(value), 15);
    const square = size * size;
    let y = 1 - 2 / (Math.exp(2 * size) + 1);
    if (size < 1) {
      y = size * (135135 + square * (17325 + square * (378 + square))) /
        (135135 + square * (62370 + square * (3150 + square * 28)));
    }
    if (value < 0) { y = -y; }
    if (value != value) { y = value; }
    return numbers[0] * y;
  }`,

  /** numbers: half */
  rope: `function (x, cos, sin, positions, numbers) {
    const half = numbers[0];
    const head = Math.floor((this.thread.x + 0.5) / (2 * half));
    const part = this.thread.x - head * 2 * half;
    const position = positions[this.thread.y];
    if (part < half) {
      return x[this.thread.y][this.thread.x] * cos[position][part] -
        x[this.thread.y][this.thread.x + half] * sin[position][part];
    }
    return x[this.thread.y][this.thread.x - half] * sin[position][part - half] +
      x[this.thread.y][this.thread.x] * cos[position][part - half];
  }`,

  /** numbers: columns */
  argmax: `function (x, numbers) {
    let best = x[this.thread.y][0];
    let place = 0;
    for (let c = 1; c < numbers[0]; c++) {
      const value = x[this.thread.y][c];
      if (value > best) { best = value; place = c; }
    }
    return place;
  }`,

  /** source: per row of the pool, the row of \`rows\` that replaces it, or -1. */
  replaceRows: `function (pool, rows, source) {
    const row = source[this.thread.y];
    if (row < 0) { return pool[this.thread.y][this.thread.x]; }
    return rows[row][this.thread.x];
  }`,

  /** source: per row of y, the row of \`rows\` that is added, or -1; shares: times what. */
  addShares: `function (y, rows, source, shares) {
    const row = source[this.thread.y];
    if (row < 0) { return y[this.thread.y][this.thread.x]; }
    return y[this.thread.y][this.thread.x] + shares[this.thread.y] * rows[row][this.thread.x];
  }`,

  /**
   * Dot products [tokens * heads, positions]. places: per token where its slots start, and the first and beyond the last position it
   * sees. numbers: heads, key heads, width
   */
  logits: `function (query, keys, slots, places, numbers) {
    const token = Math.floor((this.thread.y + 0.5) / numbers[0]);
    const head = this.thread.y - token * numbers[0];
    if (this.thread.x < places[token * 3 + 1]) { return 0; }
    if (this.thread.x >= places[token * 3 + 2]) { return 0; }
    const row = slots[places[token * 3] + this.thread.x];
    const start = Math.floor((head * numbers[1] + 0.5) / numbers[0]) * numbers[2];
    let sum = 0;
    for (let k = 0; k < numbers[2]; k++) {
      sum += query[token][head * numbers[2] + k] * keys[row][start + k];
    }
    return sum;
  }`,

  /** Scaled and capped; -3e38 where nothing is seen. numbers: heads, scale, cap (0: none) */
  seenLogits: `function (logits, places, numbers) {
    const token = Math.floor((this.thread.y + 0.5) / numbers[0]);
    if (this.thread.x < places[token * 3 + 1]) { return -3e38; }
    if (this.thread.x >= places[token * 3 + 2]) { return -3e38; }
    const logit = numbers[1] * logits[this.thread.y][this.thread.x];
    if (numbers[2] == 0) { return logit; }
    const value = logit / numbers[2];
    const size = Math.min(Math.abs(value), 15);
    const square = size * size;
    let y = 1 - 2 / (Math.exp(2 * size) + 1);
    if (size < 1) {
      y = size * (135135 + square * (17325 + square * (378 + square))) /
        (135135 + square * (62370 + square * (3150 + square * 28)));
    }
    if (value < 0) { y = -y; }
    if (value != value) { y = value; }
    return numbers[2] * y;
  }`,

  /** Column 0: the largest logit; column 1: the sum of exponentials. numbers: positions */
  softmax: `function (logits, numbers) {
    let largest = -3e38;
    for (let n = 0; n < numbers[0]; n++) {
      if (logits[this.thread.y][n] > largest) { largest = logits[this.thread.y][n]; }
    }
    if (this.thread.x == 0) { return largest; }
    let sum = 0;
    for (let m = 0; m < numbers[0]; m++) {
      const logit = logits[this.thread.y][m];
      if (!(logit < -1e38)) { sum += Math.exp(logit - largest); }
    }
    return sum;
  }`,

  /** numbers: heads, value heads, value width */
  mix: `function (logits, softmax, values, slots, places, numbers) {
    const head = Math.floor((this.thread.x + 0.5) / numbers[2]);
    const token = this.thread.y;
    const pair = token * numbers[0] + head;
    const start = Math.floor((head * numbers[1] + 0.5) / numbers[0]) * numbers[2];
    const column = start + this.thread.x - head * numbers[2];
    const first = places[token * 3 + 1];
    const end = places[token * 3 + 2];
    if (first >= end) { return 0; }
    let sum = 0;
    for (let n = first; n < end; n++) {
      const weight = Math.exp(logits[pair][n] - softmax[pair][0]);
      sum += weight * values[slots[places[token * 3] + n]][column];
    }
    return sum / softmax[pair][1];
  }`,

  /** Queries in the latent space. numbers: heads, blocks, width of a query, rank */
  absorb: `function (query, up, numbers) {
    const head = Math.floor((this.thread.x + 0.5) / numbers[3]);
    const column = this.thread.x - head * numbers[3];
    const block = Math.floor((head * numbers[1] + 0.5) / numbers[0]);
    let sum = 0;
    for (let d = 0; d < numbers[2]; d++) {
      sum += query[this.thread.y][head * numbers[2] + d] * up[block * numbers[2] + d][column];
    }
    return sum;
  }`,

  /** Mixed latents of every head times its block of the up-projection. numbers: heads, blocks, value width, rank */
  raise: `function (mixed, up, numbers) {
    const head = Math.floor((this.thread.x + 0.5) / numbers[2]);
    const row = Math.floor((head * numbers[1] + 0.5) / numbers[0]) * numbers[2] + this.thread.x - head * numbers[2];
    let sum = 0;
    for (let k = 0; k < numbers[3]; k++) {
      sum += mixed[this.thread.y][head * numbers[3] + k] * up[row][k];
    }
    return sum;
  }`,
} as const;

export type KernelName = keyof typeof kernelSources;
