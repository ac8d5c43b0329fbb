import type { Tensor } from "@transmla/kernels";
import type { Parameter, Parameters } from "./parameters";

/** Settings of AdamW (arXiv 1711.05101). */
export interface OptimiserOptions {
  readonly beta1?: number | undefined;
  readonly beta2?: number | undefined;
  readonly epsilon?: number | undefined;
  /** Decay of matrices per step, times the learning rate; vectors do not decay. */
  readonly weightDecay?: number | undefined;
  /** Gradients are scaled down to this norm over all parameters; 0 leaves them (default 1). */
  readonly clip?: number | undefined;
}

/** Both moments of one parameter. */
export interface Moments {
  readonly first: Tensor;
  readonly second: Tensor;
}

/** AdamW over the trained parameters. */
export class Optimiser {
  readonly moments: ReadonlyMap<Parameter, Moments>;
  /** Steps that were made. */
  step = 0;

  constructor(
    private readonly parameters: Parameters,
    private readonly options: OptimiserOptions = {},
  ) {
    const { device, trained } = parameters;
    const moments = (parameter: Parameter): Moments => ({
      first: device.training.zeros(parameter.shape),
      second: device.training.zeros(parameter.shape),
    });
    this.moments = new Map(trained.map((parameter) => [parameter, moments(parameter)]));
  }

  /** Euclidean norm of all gradients. */
  async gradientNorm(): Promise<number> {
    const { device } = this.parameters;
    const squares = device.scope(() => {
      const total = device.training.zeros([1, 1]);
      for (const { gradient } of this.moments.keys()) {
        const own = device.training.sumOfSquares(gradient!);
        device.training.addScaled(total, own, 1);
      }
      return total;
    });
    try {
      return Math.sqrt((await device.read(squares))[0]!);
    } finally {
      device.release(squares);
    }
  }

  /** One step at a learning rate, from gradients of this norm; they are 0 afterwards. */
  update(rate: number, norm: number): void {
    const { beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8, weightDecay = 0.1, clip = 1 } = this.options;
    const { device } = this.parameters;
    this.step++;
    for (const [parameter, { first, second }] of this.moments) {
      device.training.adamW({
        parameter: parameter.master,
        gradient: parameter.gradient!,
        firstMoment: first,
        secondMoment: second,
        step: this.step,
        rate,
        beta1,
        beta2,
        epsilon,
        decay: parameter.decays ? weightDecay : 0,
        gradientFactor: clip > 0 && norm > clip ? clip / norm : 1,
      });
      device.training.fill(parameter.gradient!, 0);
      parameter.changed();
    }
  }

  release(): void {
    for (const { first, second } of this.moments.values()) {
      this.parameters.device.release(first);
      this.parameters.device.release(second);
    }
  }
}
