import type { Device, RopeTable } from "./device";

/**
 * Uploads the angles `position * frequency` of the positions `0 … positions - 1`. Computed in float64, because a float32
 * product loses whole radians at long contexts.
 *
 * @param frequencies `[ropeDim / 2]`, radians per position; may repeat.
 */
export function ropeTable(
  device: Device,
  frequencies: ArrayLike<number>,
  positions: number,
): RopeTable {
  const half = frequencies.length;
  const cos = new Float32Array(positions * half);
  const sin = new Float32Array(positions * half);
  for (let position = 0; position < positions; position++) {
    for (let f = 0; f < half; f++) {
      const angle = position * frequencies[f]!;
      cos[position * half + f] = Math.cos(angle);
      sin[position * half + f] = Math.sin(angle);
    }
  }
  return {
    cos: device.tensor(cos, [positions, half]),
    sin: device.tensor(sin, [positions, half]),
  };
}
