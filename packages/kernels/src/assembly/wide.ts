/** Whether the engine joins pairs of vectors to 256 bits. */
let wide = false;

/** Takes the kernels that suit the vectors of the engine: 256 bits, or 128 (the default). Results are the same to the bit. */
export function useWideVectors(use: bool): void {
  wide = use;
}

@inline
export function areVectorsWide(): bool {
  return wide;
}
