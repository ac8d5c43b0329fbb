import { matrices, SAMPLE, sampleStart, transposed } from "../matrices.mjs";
import { checkLinear } from "./checks.mjs";
import { openDevice, timed } from "./device.mjs";

/** `device.linear` with float32 weights. */
export async function start({ shape, ...options }) {
  const device = await openDevice(options);
  await checkLinear(device, "f32");
  const { rows, inner, columns } = shape;
  const { x, w } = matrices(shape);
  const weight = device.weight([columns, inner], "f32");
  device.writeRows(weight, 0, new Uint8Array(transposed(w, inner, columns).buffer));
  const input = device.tensor(x, [rows, inner]);
  const product = device.linear(input, weight);
  const from = sampleStart(shape);
  const sample = (await device.read(product)).slice(from, from + SAMPLE);
  device.release(product);
  return {
    facts: { sample },
    run: async ({ products }) => {
      const seconds = await timed(device, () => {
        for (let i = 0; i < products; i++) device.release(device.linear(input, weight));
      });
      return { seconds: seconds / products };
    },
  };
}
