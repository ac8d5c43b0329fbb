import { KernelsError } from "@transmla/kernels";

/** How long a failed read waits for its reason. */
const PATIENCE_MS = 200;

/**
 * What went wrong on a GPU. It reports later than it is asked, so an error is kept until somebody waits for a result; a
 * device that is lost refuses everything from then on.
 */
export class Failures {
  readonly #device: GPUDevice;
  #lost: KernelsError | undefined;
  #pending: KernelsError | undefined;

  constructor(device: GPUDevice) {
    this.#device = device;
    void device.lost.then(({ reason, message }) => {
      this.#lost = new KernelsError(
        "DeviceLost",
        `The GPU device was lost (${reason || "unknown reason"}${message ? `: ${message}` : ""}). Make a new device and load the model again.`,
        { reason, message },
      );
    });
    device.addEventListener("uncapturederror", (event) => {
      event.preventDefault?.();
      this.#pending ??= errorOf(event.error);
    });
  }

  /** @throws KernelsError `DeviceLost` */
  throwIfLost(): void {
    if (this.#lost) throw this.#lost;
  }

  /** @throws KernelsError `DeviceLost`, `DeviceFailure`, `OutOfMemory`: what the GPU said since the last call. */
  throwIfAny(): void {
    this.throwIfLost();
    const error = this.#pending;
    this.#pending = undefined;
    if (error) throw error;
  }

  /** The error behind a rejected map: the loss of the device, an error it reported, or else the rejection itself. */
  async explain(cause: unknown): Promise<Error> {
    // The rejection may come before the news that explains it.
    const patience = new Promise((resolve) => setTimeout(resolve, PATIENCE_MS));
    await Promise.race([this.#device.lost, patience]);
    const { message } = cause as Error;
    return (
      this.#lost ??
      this.#pending ??
      new KernelsError("DeviceFailure", `The GPU gave no result: ${message}`, {}, { cause })
    );
  }
}

function errorOf(error: GPUError): KernelsError {
  const outOfMemory = error.constructor.name === "GPUOutOfMemoryError";
  return new KernelsError(
    outOfMemory ? "OutOfMemory" : "DeviceFailure",
    `The GPU reported: ${error.message}`,
    {},
    { cause: error },
  );
}
