export interface Angle {
  readonly cosine: number;
  readonly sine: number;
}

/** A complex factor of magnitude 1. */
export interface Phase {
  readonly re: number;
  readonly im: number;
}

/**
 * The smaller rotation that diagonalises [[a, c], [c, b]]: with x' = cosine x - sine y and
 * y' = sine x + cosine y, x' and y' are orthogonal in that form.
 */
export function jacobiAngle(a: number, b: number, c: number): Angle {
  const zeta = (b - a) / (2 * c);
  const tangent = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.hypot(1, zeta));
  const cosine = 1 / Math.hypot(1, tangent);
  return { cosine, sine: cosine * tangent };
}

/**
 * On complex runs x and y of n numbers, which start at `x` and `y` and go on in steps of `step`:
 * x' = cosine x - sine phase y, y' = sine x + cosine phase y.
 */
export function rotateComplex(
  { re, im }: { readonly re: Float64Array; readonly im: Float64Array },
  x: number,
  y: number,
  step: number,
  n: number,
  { cosine, sine }: Angle,
  phase: Phase,
): void {
  for (let t = 0; t < n; t += 1, x += step, y += step) {
    const yr = re[y] * phase.re - im[y] * phase.im;
    const yi = re[y] * phase.im + im[y] * phase.re;
    const xr = re[x];
    const xi = im[x];
    re[x] = cosine * xr - sine * yr;
    im[x] = cosine * xi - sine * yi;
    re[y] = sine * xr + cosine * yr;
    im[y] = sine * xi + cosine * yi;
  }
}
