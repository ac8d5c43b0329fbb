import type { ProductForm, Tensor, TrainingDevice } from "@transmla/kernels";

/** A tensor in a computation, and its gradient once that is known. */
export interface Variable {
  readonly value: Tensor;
  /** Whether a gradient is wanted. */
  readonly tracked: boolean;
  /** Set by the tape; for parameters it is there from the beginning and sums up over steps. */
  gradient: Tensor | undefined;
}

/** A value that needs no gradient. */
export const constant = (value: Tensor): Variable => ({
  value,
  tracked: false,
  gradient: undefined,
});

interface Entry {
  readonly output: Variable;
  readonly backward: (dy: Tensor) => void;
}

/**
 * Reverse-mode differentiation: operations are recorded with a function that hands the gradient of their result on to
 * their inputs, and played back in reverse. Everything happens within one `device.scope`. Memory is given back early:
 * in `backward`, as soon as an operation has been played, its result and the gradient of it are released.
 */
export class Tape {
  readonly #entries: Entry[] = [];
  /** Gradients that several variables have: they are not added to in place and not released early. */
  readonly #shared = new Set<Tensor>();

  constructor(readonly device: TrainingDevice) {}

  /** The result of an operation. `backward` is only kept if a gradient of one of the inputs is wanted. */
  record(value: Tensor, inputs: readonly Variable[], backward: (dy: Tensor) => void): Variable {
    const output: Variable = {
      value,
      tracked: inputs.some(({ tracked }) => tracked),
      gradient: undefined,
    };
    if (output.tracked) this.#entries.push({ output, backward });
    return output;
  }

  /**
   * Adds `gradient` to a variable's. The tape takes the tensor over, and releases it where it has become part of a sum,
   * unless it is `shared`: the gradient of others too.
   */
  add(variable: Variable, gradient: Tensor, shared = false): void {
    if (variable.tracked && variable.gradient === undefined) {
      variable.gradient = gradient;
      if (shared) this.#shared.add(gradient);
      return;
    }
    if (variable.tracked) this.#sum(variable, variable.gradient!, gradient);
    if (!shared) this.device.release(gradient);
  }

  #sum(variable: Variable, before: Tensor, gradient: Tensor): void {
    if (this.#shared.has(before)) variable.gradient = this.device.add(before, gradient);
    else this.device.training.addScaled(before, gradient, 1);
  }

  /** Adds a product to a variable's gradient, in place where that is possible. */
  addProduct(variable: Variable, form: ProductForm, a: Tensor, b: Tensor): void {
    if (!variable.tracked) return;
    const { training } = this.device;
    const { gradient } = variable;
    if (gradient === undefined || this.#shared.has(gradient)) {
      this.add(variable, training.product(form, a, b));
    } else {
      training.product(form, a, b, gradient);
    }
  }

  /** Plays everything back, from the gradient of the last result on. The tape is empty afterwards. */
  backward(output: Variable, gradient: Tensor): void {
    this.add(output, gradient, true);
    for (let entry = this.#entries.pop(); entry; entry = this.#entries.pop()) {
      const { output: result, backward } = entry;
      // A result that nothing depends on has no gradient.
      if (result.gradient !== undefined) {
        backward(result.gradient);
        if (!this.#shared.has(result.gradient)) this.device.release(result.gradient);
        result.gradient = undefined;
      }
      this.device.release(result.value);
    }
  }

  /**
   * Runs `body` without keeping what it computes on the way, and runs it again for the gradients: memory for one more
   * forward pass (Chen et al., arXiv 1604.06174).
   */
  recomputed(input: Variable, body: (tape: Tape, input: Variable) => Variable): Variable {
    const { device } = this;
    const value = device.scope(() => body(new Tape(device), constant(input.value)).value);
    return this.record(value, [{ ...input, tracked: true }], (dy) => {
      const gradient = device.scope(() => {
        const tape = new Tape(device);
        const again: Variable = { value: input.value, tracked: input.tracked, gradient: undefined };
        tape.backward(body(tape, again), dy);
        return again.gradient ? [again.gradient] : [];
      });
      if (gradient[0]) this.add(input, gradient[0]);
    });
  }
}
