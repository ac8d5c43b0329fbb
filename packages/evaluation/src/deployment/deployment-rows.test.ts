import { modelFolderPath } from "@transmla/sample-model";
import { openModel } from "@transmla/models";
import { folder } from "@transmla/tensor-io";
import { expect, it } from "vitest";
import { deploymentRows } from "./deployment-rows";
import { storedModel, writtenModel } from "./planned-models";

const target = { name: "small", devices: 1, bandwidth: 1e9, flops: 1e12, memory: 20e6 };

it("says what fits beside the weights, in the storage of the cache", async () => {
  const files = await openModel(folder(modelFolderPath()));
  const setting = { target, cached: 100, sharing: "heads" } as const;
  const [row, ...others] = deploymentRows(storedModel(files), { ...setting, cacheStorage: "bf16" });
  expect(others).toEqual([]);
  // 2 * 4 * 32 numbers in six layers, two bytes each; nine tenths of the memory are used.
  expect(row).toMatchObject({
    way: "grouped",
    cacheNumbersPerToken: 1536,
    cacheBytesPerToken: 3072,
    fits: true,
  });
  expect(row!.longestContext).toBe(Math.floor((0.9 * 20e6 - row!.weightBytes) / 3072));
  const [halved] = deploymentRows(storedModel(files), { ...setting, cacheStorage: "f32" });
  expect(halved!.longestContext).toBe(Math.floor((0.9 * 20e6 - row!.weightBytes) / 6144));
  await files.close();
});

it("plans a model that is not written yet as if it were stored", async () => {
  const files = await openModel(folder(modelFolderPath()));
  const tensors = [...files.checkpoint.tensors.values()];
  const setting = { target, cached: 100, sharing: "heads", cacheStorage: "i8" } as const;
  for (const precision of ["stored", "i8"] as const) {
    const written = writtenModel({ config: files.config, tensors }, precision);
    expect(deploymentRows(written, setting)).toEqual(
      deploymentRows(storedModel(files, precision), setting),
    );
  }
  await files.close();
});
