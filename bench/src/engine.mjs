/** Flags for Node that let it run relaxed SIMD, which versions after 20 do without. */
export const relaxedFlags = process.versions.node.startsWith("20.")
  ? ["--experimental-wasm-relaxed-simd"]
  : [];
