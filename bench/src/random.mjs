/** Deterministic numbers, the same in every process. Mulberry32; returns a function giving `[0, 1)`. */
export function uniform(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** `count` numbers of mean 0 and standard deviation `deviation`, uniformly distributed. */
export function randomNumbers(count, seed, deviation = 1) {
  const next = uniform(seed);
  const width = deviation * Math.sqrt(12);
  return Float32Array.from({ length: count }, () => (next() - 0.5) * width);
}

export function randomTokens(count, seed, vocabulary) {
  const next = uniform(seed);
  return Int32Array.from({ length: count }, () => Math.floor(next() * vocabulary));
}

/** The 16 upper bits of float32 numbers, rounded to nearest even. */
export function toBf16(values) {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Uint16Array.from(bits, (word) => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16);
}

/** Float32 numbers of which only the upper 16 bits are used, so that bf16 holds them exactly. */
export function roundToBf16(values) {
  const words = Uint32Array.from(toBf16(values), (half) => half << 16);
  return new Float32Array(words.buffer);
}
