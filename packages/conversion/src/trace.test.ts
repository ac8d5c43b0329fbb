import { cpuDevice } from "@transmla/kernels";
import { loadModel, openModel } from "@transmla/models";
import { modelFolderPath } from "@transmla/sample-model";
import { folder, memoryFolder } from "@transmla/tensor-io";
import { expect, it } from "vitest";
import { convert } from "./convert";
import { planConversion } from "./plan";

it("looks at the same tokens after an exact conversion, in every layer and head", async () => {
  const device = await cpuDevice();
  const files = await openModel(folder(modelFolderPath()));
  const output = memoryFolder();
  await convert(planConversion(files, { method: "exact", dtype: "f32" }), { device, output });
  const converted = await openModel(output);
  const tokens = Int32Array.from({ length: 30 }, (_, i) => (i * 37 + 5) % 1024);
  const [before, after] = [
    await (await loadModel(files, device)).trace(tokens),
    await (await loadModel(converted, device)).trace(tokens),
  ];
  expect(after.layers).toHaveLength(before.layers.length);
  for (const [layer, { weights, planes }] of after.layers.entries()) {
    const expected = before.layers[layer]!.weights;
    for (const [i, weight] of weights.entries()) expect(weight).toBeCloseTo(expected[i]!, 4);
    // The cache is as large, and another one.
    expect(planes.map(({ name }) => name)).toEqual(["latents", "rope-keys"]);
  }
  device.destroy();
});
