/**
 * A reproducible stream of random numbers: xoshiro128** 1.1 (Blackman & Vigna, "Scrambled linear pseudorandom number
 * generators", ACM TOMS 47(4), 2021), period 2^128 - 1. Not for secrets.
 */
export class Random {
  private readonly state: Uint32Array;

  /** Equal seeds give equal streams. `seed` is a safe integer from 0 on. */
  constructor(seed: number) {
    this.state = stateFromSeed(seed);
  }

  /** Uniform in [0, 1) with the 53 bits that a number holds. */
  next(): number {
    const high = xoshiro128(this.state) >>> 5;
    const low = xoshiro128(this.state) >>> 6;
    return (high * 2 ** 26 + low) / 2 ** 53;
  }
}

/** Advances a state of four words, not all zero, and returns 32 random bits. */
export function xoshiro128(state: Uint32Array): number {
  const result = Math.imul(rotateLeft(Math.imul(state[1]!, 5), 7), 9) >>> 0;
  const shifted = state[1]! << 9;
  state[2]! ^= state[0]!;
  state[3]! ^= state[1]!;
  state[1]! ^= state[2]!;
  state[0]! ^= state[3]!;
  state[2]! ^= shifted;
  state[3] = rotateLeft(state[3]!, 11);
  return result;
}

/** Two outputs of SplitMix64 (Steele et al., OOPSLA 2014), which the authors of xoshiro recommend for seeding. */
export function stateFromSeed(seed: number): Uint32Array {
  const words = new BigUint64Array(2);
  let counter = BigInt(seed);
  for (let index = 0; index < 2; index++) {
    counter = BigInt.asUintN(64, counter + 0x9e3779b97f4a7c15n);
    let mixed = counter;
    mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 30n)) * 0xbf58476d1ce4e5b9n);
    mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 27n)) * 0x94d049bb133111ebn);
    words[index] = mixed ^ (mixed >> 31n);
  }
  return Uint32Array.from([...words].flatMap((word) => [lowHalf(word), lowHalf(word >> 32n)]));
}

function lowHalf(word: bigint): number {
  return Number(word & 0xffffffffn);
}

function rotateLeft(word: number, by: number): number {
  return (word << by) | (word >>> (32 - by));
}
