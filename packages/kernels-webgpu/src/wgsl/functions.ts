/** Functions that are right for every float32, where WGSL's may overflow or round coarsely. */
export const TANH = /* wgsl */ `
/** tanh to float32: a continued fraction (Lambert) near zero, and the exponential beyond. */
fn hyperbolicTangent(x: f32) -> f32 {
  let magnitude = min(abs(x), 15.0);
  let square = magnitude * magnitude;
  let near = magnitude * (135135.0 + square * (17325.0 + square * (378.0 + square))) /
    (135135.0 + square * (62370.0 + square * (3150.0 + square * 28.0)));
  let far = 1.0 - 2.0 / (exp(2.0 * magnitude) + 1.0);
  let y = select(far, near, magnitude < 1.0);
  return select(select(y, -y, x < 0.0), x, x != x);
}`;

/** 1 / (1 + exp(-x)), which is zero where it is below all that a product with it could show. */
export const SIGMOID = /* wgsl */ `
fn sigmoid(x: f32) -> f32 { return select(1.0 / (1.0 + exp(-max(x, -80.0))), 0.0, x < -80.0); }`;
