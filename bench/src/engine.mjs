/** Flags for Node that let it run relaxed SIMD, which versions after 20 do without. */
export const relaxedFlags = process.versions.node.startsWith("20.")
  ? ["--experimental-wasm-relaxed-simd"]
  : [];

/** Whether Node was told to join pairs of vectors to 256 bits, which versions from 24 on can on x86-64. */
export const hasWideVectors = process.execArgv.includes("--experimental-wasm-revectorize");
