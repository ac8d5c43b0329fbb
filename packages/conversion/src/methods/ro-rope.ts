import { eigh, matrix, type Matrix } from "@transmla/low-rank";

/** Sizes of a rotation across heads. */
export interface RoRopeOptions {
  readonly kvHeads: number;
  readonly headDim: number;
  /** Rotated dimensions kept in the cache; a divisor of `headDim`. */
  readonly ropeDim: number;
  /** Neighbouring frequencies pooled into one rotation; a multiple of `headDim / ropeDim`. */
  readonly freqFold: number;
}

/** An orthogonal change of basis of the keys of all heads that (nearly) commutes with RoPE. */
export interface RoRope {
  /**
   * `[kvHeads * headDim, kvHeads * headDim]`: new components in rows, keys of all heads in columns. The first `ropeDim` rows
   * keep their rotation, in the half-split layout; the others lose it.
   */
  readonly rotation: Matrix;
  /** Part of the keys' energy in the kept components. */
  readonly keptEnergy: number;
}

/**
 * RoRoPE with FreqFold (TransMLA, arXiv 2502.07864). RoPE multiplies the components of all heads at one frequency by the same
 * complex number, so a real orthogonal map across heads commutes with it. Principal components of the keys at each frequency
 * gather their energy in the first component, which keeps its rotation. Pooling `F` neighbouring frequencies (whose
 * numbers differ little) gathers more, at the price of exactness.
 *
 * Within half a head, component `i*F + f*C + c` belongs to group `i`; `C = headDim / ropeDim`, `f < F/C`, `c < C`. Real and
 * imaginary parts are two samples of one second moment. Of each group the `F/C` leading components are kept; pair
 * `p = i*F/C + j` turns at the original frequency `p*C`.
 *
 * @param keyMoment uncentred second moment of the unrotated keys, `[kvHeads * headDim, kvHeads * headDim]`.
 */
export function roRope(keyMoment: Matrix, options: RoRopeOptions): RoRope {
  const { kvHeads, headDim, ropeDim, freqFold } = options;
  const half = headDim / 2;
  const collapse = headDim / ropeDim;
  const keptPerGroup = freqFold / collapse;
  const pairs = ropeDim / 2;
  const width = kvHeads * headDim;
  const rotation = matrix(width, width);
  let free = ropeDim;
  let keptEnergy = 0;
  let energy = 0;
  for (let group = 0; group < half / freqFold; group++) {
    const members = groupMembers(options, group);
    const { values, vectors } = eigh(pooledMoment(keyMoment, members, half));
    for (let component = 0; component < members.length; component++) {
      energy += values[component];
      const kept = component < keptPerGroup;
      if (kept) keptEnergy += values[component];
      const pair = group * keptPerGroup + component;
      for (const part of [0, 1]) {
        const row = kept ? part * pairs + pair : free++;
        for (const [feature, member] of members.entries()) {
          rotation.data[row * width + member + part * half] =
            vectors.data[feature * vectors.columns + component];
        }
      }
    }
  }
  return {
    rotation,
    keptEnergy: energy > 0 ? keptEnergy / energy : 1,
  };
}

/** Columns of the real parts of a group's components in the keys of all heads. */
function groupMembers({ kvHeads, headDim, freqFold }: RoRopeOptions, group: number): number[] {
  return Array.from({ length: kvHeads }, (_, head) =>
    Array.from({ length: freqFold }, (_, f) => head * headDim + group * freqFold + f),
  ).flat();
}

/** Second moment of a group, real and imaginary parts pooled. */
function pooledMoment(moment: Matrix, members: readonly number[], half: number): Matrix {
  const pooled = matrix(members.length, members.length);
  for (const [i, a] of members.entries()) {
    for (const [j, b] of members.entries()) {
      const real = moment.data[a * moment.columns + b];
      const imaginary = moment.data[(a + half) * moment.columns + b + half];
      pooled.data[i * members.length + j] = real + imaginary;
    }
  }
  return pooled;
}

/** The folds allowed for these sizes: multiples of the collapse, by powers of two, that divide half a head. */
export function freqFoldCandidates(headDim: number, ropeDim: number): number[] {
  const candidates: number[] = [];
  for (let fold = headDim / ropeDim; fold <= headDim / 2; fold *= 2) {
    if ((headDim / 2) % fold === 0) candidates.push(fold);
  }
  return candidates;
}
