import type { GroupedAttentionConfig } from "@transmla/models";

/** `gamma_i,f`, `[heads, headDim / 2]` each. */
export interface ExpectedPhases {
  readonly re: Float64Array;
  readonly im: Float64Array;
}

/** Weight of uniform attention: without it a head whose attention is peaked can fail badly on other text. */
const UNIFORM = 0.1;

/**
 * Rows whose average under attention gives the phases: `[cos(n theta_f) …, -sin(n theta_f) …]` for every position `n`, once per
 * key/value head, `[tokens, kvHeads * headDim]`.
 */
export function phaseValues(
  positions: Int32Array,
  { kvHeads, headDim, frequencies }: GroupedAttentionConfig,
): Float32Array {
  const half = headDim / 2;
  const rows = new Float32Array(positions.length * kvHeads * headDim);
  for (const [token, position] of positions.entries()) {
    for (let f = 0; f < half; f++) {
      const angle = position * frequencies[f];
      for (let a = 0; a < kvHeads; a++) {
        const at = (token * kvHeads + a) * headDim + f;
        rows[at] = Math.cos(angle);
        rows[at + half] = -Math.sin(angle);
      }
    }
  }
  return rows;
}

/**
 * The average rotation between a query and what it attends to,
 *
 *     gamma_i,f = E_m sum_n [0.9 p_i,m,n + 0.1 / count(m)] exp(i (m - n) theta_f),
 *
 * with `count(m) = m + 1` distances, those to positions left out among them. Streamed: attention over `phaseValues` is
 * `sum_n p exp(-i n theta)`, to which `exp(i m theta)` is multiplied here.
 */
export class ExpectedPhase {
  private readonly re: Float64Array;
  private readonly im: Float64Array;
  private readonly uniformRe: Float64Array;
  private readonly uniformIm: Float64Array;
  private tokens = 0;

  constructor(private readonly config: GroupedAttentionConfig) {
    const half = config.headDim / 2;
    this.re = new Float64Array(config.heads * half);
    this.im = new Float64Array(config.heads * half);
    this.uniformRe = new Float64Array(half);
    this.uniformIm = new Float64Array(half);
  }

  /** @param mixed attention over `phaseValues`, `[tokens, heads * headDim]` */
  add(mixed: Float32Array, positions: Int32Array): void {
    const { heads, headDim, frequencies, window = Infinity } = this.config;
    const half = headDim / 2;
    for (const [token, position] of positions.entries()) {
      const count = Math.min(position + 1, window);
      for (let f = 0; f < half; f++) {
        const theta = frequencies[f];
        const [cos, sin] = [Math.cos(position * theta), Math.sin(position * theta)];
        for (let i = 0; i < heads; i++) {
          const at = (token * heads + i) * headDim + f;
          const [re, im] = [mixed[at], mixed[at + half]];
          this.re[i * half + f] += cos * re - sin * im;
          this.im[i * half + f] += cos * im + sin * re;
        }
        const [re, im] = meanPhase(theta, count);
        this.uniformRe[f] += re;
        this.uniformIm[f] += im;
      }
    }
    this.tokens += positions.length;
  }

  phases(): ExpectedPhases {
    const half = this.config.headDim / 2;
    const blend = (own: Float64Array, uniform: Float64Array) =>
      own.map(
        (value, index) => ((1 - UNIFORM) * value + UNIFORM * uniform[index % half]) / this.tokens,
      );
    return { re: blend(this.re, this.uniformRe), im: blend(this.im, this.uniformIm) };
  }
}

/** `(1 / count) sum_{j < count} exp(i j theta)`, as the Dirichlet kernel. */
function meanPhase(theta: number, count: number): readonly [number, number] {
  const denominator = Math.sin(theta / 2);
  const length =
    Math.abs(denominator) < 1e-12 ? 1 : Math.sin((count * theta) / 2) / (count * denominator);
  const angle = ((count - 1) * theta) / 2;
  return [length * Math.cos(angle), length * Math.sin(angle)];
}
