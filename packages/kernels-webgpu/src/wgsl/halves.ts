/**
 * Numbers of 16 bits from and to float32, by whole-number arithmetic: WGSL's own `unpack2x16float` may lose subnormal numbers and
 * `pack2x16float` may round either way, and both happen on real hardware.
 */
export const HALVES = /* wgsl */ `
/** The two binary16 numbers of a word. */
fn float16s(word: u32) -> vec2<f32> {
  let bits = vec2<u32>(word & 0xffffu, word >> 16u);
  let magnitude = bits & vec2<u32>(0x7fffu);
  let small = vec2<f32>(magnitude) * 5.9604644775390625e-8; // 2^-24
  // 112 is the difference of the biases of exponents; infinities and NaN need the largest exponent.
  let normal = bitcast<vec2<f32>>((magnitude << vec2<u32>(13u)) + vec2<u32>(112u << 23u));
  let special = bitcast<vec2<f32>>((magnitude << vec2<u32>(13u)) + vec2<u32>(224u << 23u));
  let value = select(
    select(normal, special, magnitude >= vec2<u32>(0x7c00u)), small, magnitude < vec2<u32>(0x400u));
  return bitcast<vec2<f32>>(bitcast<vec2<u32>>(value) | ((bits & vec2<u32>(0x8000u)) << vec2<u32>(16u)));
}
fn float16(bits: u32) -> f32 { return float16s(bits).x; }
/** The two bfloat16 numbers of a word. */
fn bfloat16s(word: u32) -> vec2<f32> {
  return bitcast<vec2<f32>>(vec2<u32>(word << 16u, word & 0xffff0000u));
}
/** Four signed bytes of a word. */
fn bytes4(word: u32) -> vec4<f32> {
  return vec4<f32>((vec4<i32>(vec4<u32>(word) << vec4<u32>(24u, 16u, 8u, 0u))) >> vec4<u32>(24u));
}`;

/** What writes caches. */
export const ROUNDING = /* wgsl */ `
/** The nearest bfloat16 number, of two the even one. */
fn toBfloat16(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return (bits | 0x400000u) >> 16u; }
  return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}
/** The nearest binary16 number, of two the even one. */
fn toFloat16(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  let sign = (bits >> 16u) & 0x8000u;
  let magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) { return 0x7e00u; }
  if (magnitude >= 0x477ff000u) { return sign | 0x7c00u; } // 65520
  if (magnitude < 0x33000000u) { return sign; } // below half of the smallest
  let exponent = magnitude >> 23u;
  // What is cut off is rounded to even; below 2^-14 more is cut off, the leading one included.
  let subnormal = exponent < 113u;
  let fraction = select(magnitude - (112u << 23u), (magnitude & 0x7fffffu) | 0x800000u, subnormal);
  let shift = select(13u, min(126u - exponent, 31u), subnormal);
  let half = 1u << (shift - 1u);
  return sign | ((fraction + half - 1u + ((fraction >> shift) & 1u)) >> shift);
}
/** a / b for positive normal numbers, rounded as IEEE 754 does it; WGSL's own may be off in the last bits. */
fn divide(a: f32, b: f32) -> f32 {
  let aBits = bitcast<u32>(a);
  if (aBits < 0x800000u) { return 0.0; }
  let bBits = bitcast<u32>(b);
  let divisor = (bBits & 0x7fffffu) | 0x800000u;
  var rest = (aBits & 0x7fffffu) | 0x800000u;
  var exponent = i32(aBits >> 23u) - i32(bBits >> 23u) + 127;
  if (rest < divisor) { rest <<= 1u; exponent -= 1; }
  var quotient = 0u;
  for (var i = 0u; i < 24u; i++) {
    quotient <<= 1u;
    if (rest >= divisor) { rest -= divisor; quotient |= 1u; }
    rest <<= 1u;
  }
  // The rest is twice what is left: compare it with the divisor, ties to even.
  if (rest > divisor || (rest == divisor && (quotient & 1u) == 1u)) { quotient += 1u; }
  if (exponent <= 0) { return 0.0; }
  return bitcast<f32>((u32(exponent) << 23u) + (quotient - 0x800000u));
}
fn isFinite(x: f32) -> bool { return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u; }`;
