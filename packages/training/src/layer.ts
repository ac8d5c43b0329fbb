import { layerPrefix } from "@transmla/models";
import { linear, rmsNorm, scaled, sum } from "./operations";
import type { Parameters } from "./parameters";
import type { Tape, Variable } from "./tape";

/** The parameters of one decoder layer, by their names without the layer's prefix. */
export class Layer {
  readonly #prefix: string;

  constructor(
    private readonly parameters: Parameters,
    layer: number,
  ) {
    this.#prefix = layerPrefix(layer);
  }

  has(name: string): boolean {
    return this.parameters.has(this.#prefix + name);
  }

  parameter(name: string): Variable {
    return this.parameters.get(this.#prefix + name);
  }

  /** `y = x W^T + b`, and what an adapter adds: `(alpha / rank) x A^T B^T`. */
  project(tape: Tape, name: string, x: Variable): Variable {
    const weight = `${name}.weight`;
    const bias = this.has(`${name}.bias`) ? this.parameter(`${name}.bias`) : undefined;
    const y = linear(tape, x, this.parameter(weight), bias);
    const adapter = this.parameters.adapters.get(this.#prefix + weight);
    if (!adapter) return y;
    const { a, b, factor } = adapter;
    return sum(tape, y, scaled(tape, linear(tape, linear(tape, x, a), b), factor));
  }

  /** An RMS norm, where the model has one. */
  norm(tape: Tape, name: string, x: Variable, epsilon: number | undefined): Variable {
    return epsilon === undefined ? x : rmsNorm(tape, x, this.parameter(`${name}.weight`), epsilon);
  }
}
