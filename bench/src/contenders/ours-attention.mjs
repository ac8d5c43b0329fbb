import {
  checkGroupedAttention,
  checkLatentAttention,
  checkLinear,
  groupedInput,
  latentInput,
  randomTensor,
  randomWeight,
} from "./checks.mjs";
import { openDevice, timed } from "./device.mjs";

const PRODUCT = { x: [512, 576], w: [1536, 576], gflop: 2e-9 * 512 * 576 * 1536 };

/**
 * Attention alone, one decoded token. `kind` is "grouped" or "latent", `sizes` as in `checks.mjs`. A step runs it `layers` times
 * over caches of their own, as a model does, so that no cache of the processor holds what the next one reads. The task `{ steps: 0 }`
 * measures a float32 matrix product on the same device instead: what it reaches at arithmetic.
 */
export async function start({ kind, sizes, layers = 1, ...options }) {
  const device = await openDevice(options);
  const grouped = kind === "grouped";
  await (grouped ? checkGroupedAttention(device) : checkLatentAttention(device));
  const inputs = Array.from({ length: layers }, () =>
    grouped ? groupedInput(device, sizes) : latentInput(device, sizes),
  );
  await checkLinear(device, "f32");
  const product = {
    x: randomTensor(device, PRODUCT.x, 1),
    w: randomWeight(device, PRODUCT.w, "f32", 2),
  };
  const multiply = () => {
    for (let i = 0; i < 3; i++) device.release(device.linear(product.x, product.w));
  };
  return {
    facts: { simd: device.simd },
    run: async ({ steps }) => {
      if (steps === 0) {
        const seconds = await timed(device, multiply);
        return { seconds: seconds / 3, gflop: PRODUCT.gflop };
      }
      const seconds = await timed(device, () => {
        for (let i = 0; i < steps; i++) {
          for (const input of inputs) {
            const y = grouped ? device.groupedAttention(input) : device.latentAttention(input);
            device.release(y);
          }
        }
      });
      return { seconds: seconds / steps };
    },
  };
}
