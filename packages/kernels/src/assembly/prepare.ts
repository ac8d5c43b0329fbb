/**
 * One row of `x` times panels of quantised weights, in whole numbers: `x` is rounded to 16 bits with one scale per 32
 * inputs (an error of at most `max |x| / 65534` of the group, as small as that of float32 sums), products of pairs are
 * exact, and sums of a group fit 32 bits: `32767 * 255 * 32 < 2^31`.
 *
 * A prepared group takes 80 bytes: 32 numbers of 16 bits, the scale (float32), and the sums of the first and of the last
 * 16 numbers (i32).
 */
export const PREPARED_BYTES: usize = 80;

/** Rounds `inputs` numbers; a last group of fewer than 32 is filled up with zeros at `x`'s end in `scratch` (128 bytes). */
export function prepareInputs(to: usize, x: usize, inputs: i32, scratch: usize): void {
  for (let k = 0; k < inputs; k += 32) {
    if (inputs - k < 32) {
      memory.fill(scratch, 0, 128);
      memory.copy(scratch, x, <usize>(inputs - k) * 4);
      x = scratch;
    }
    let largest = f32x4.abs(v128.load(x));
    for (let i: usize = 16; i < 128; i += 16) largest = f32x4.max(largest, f32x4.abs(v128.load(x + i)));
    largest = f32x4.max(largest, v128.shuffle<f32>(largest, largest, 2, 3, 0, 1));
    const most = max(f32x4.extract_lane(largest, 0), f32x4.extract_lane(largest, 1));
    // A group below 1e-30 counts as zero: its inverse would overflow.
    const factor = f32x4.splat(most > 1e-30 ? 32767 / most : 0);
    const ones = i16x8.splat(1);
    store<f32>(to, most / 32767, 64);
    for (let half: usize = 0; half < 2; half++) {
      const a = i16x8.narrow_i32x4_s(rounded(x, factor), rounded(x + 16, factor));
      const b = i16x8.narrow_i32x4_s(rounded(x + 32, factor), rounded(x + 48, factor));
      v128.store(to + half * 32, a);
      v128.store(to + half * 32, b, 16);
      let sums = i32x4.add(i32x4.dot_i16x8_s(a, ones), i32x4.dot_i16x8_s(b, ones));
      sums = i32x4.add(sums, v128.shuffle<i32>(sums, sums, 2, 3, 0, 1));
      store<i32>(to + half * 4, i32x4.extract_lane(sums, 0) + i32x4.extract_lane(sums, 1), 68);
      x += 64;
    }
    to += PREPARED_BYTES;
  }
}

@inline
function rounded(x: usize, factor: v128): v128 {
  return i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(x), factor)));
}
