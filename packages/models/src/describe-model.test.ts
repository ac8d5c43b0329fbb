import { modelFolderPath } from "@transmla/sample-model";
import { folder } from "@transmla/tensor-io";
import { expect, it } from "vitest";
import { describeModel } from "./describe-model";
import { openModel } from "./open-model";

it("says what the sample model is, from its headers", async () => {
  const files = await openModel(folder(modelFolderPath()));
  // Per layer q and o 192 x 256, k and v 192 x 128, three of 192 x 512, two norms; embedding 1024 x 192, one norm.
  const layer = 2 * 192 * 256 + 2 * 192 * 128 + 3 * 192 * 512 + 2 * 192;
  const parameters = 6 * layer + 1024 * 192 + 192;
  expect(describeModel(files)).toEqual({
    family: "llama",
    attention: "gqa",
    layers: 6,
    hidden: 192,
    heads: 8,
    kvHeads: 4,
    headDim: 32,
    kvCacheNumbersPerToken: 6 * 2 * 4 * 32,
    parameters,
    dtype: "bf16",
    bytes: 2 * parameters,
    vocabulary: 1024,
    positions: 1024,
  });
  await files.close();
});
