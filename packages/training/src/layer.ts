import { layerPrefix } from "@transmla/models";
import { linear, rmsNorm } from "./operations";
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

  /** `y = x W^T + b`, with an adapter `y = x (W + factor B A)^T + b`. */
  project(tape: Tape, name: string, x: Variable): Variable {
    const weight = `${name}.weight`;
    const bias = this.has(`${name}.bias`) ? this.parameter(`${name}.bias`) : undefined;
    const adapter = this.parameters.adapters.get(this.#prefix + weight);
    return linear(tape, x, this.parameter(weight), bias, adapter);
  }

  /** An RMS norm, where the model has one. */
  norm(tape: Tape, name: string, x: Variable, epsilon: number | undefined): Variable {
    return epsilon === undefined ? x : rmsNorm(tape, x, this.parameter(`${name}.weight`), epsilon);
  }
}
