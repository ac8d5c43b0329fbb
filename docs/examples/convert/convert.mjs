import { convert, planConversion } from "@transmla/conversion";
import { loadTokenizer } from "@transmla/generation";
import { cpuDevice } from "@transmla/kernels";
import { openModel } from "@transmla/models";
import {
  calibrationTextUrl,
  modelFolderPath,
} from "@transmla/sample-model";
import { folder } from "@transmla/tensor-io";
import { readFile } from "node:fs/promises";

// #region plan
const files = await openModel(folder(modelFolderPath())); // headers only
const plan = planConversion(files, {
  method: "output-aware",
  keep: 0.25,
});
// What is refused is refused here, or not at all.
console.log(plan.tensors.length, "tensors will be written");
// #endregion plan

// #region calibration
const tokenizer = await loadTokenizer(files.origin);
const text = tokenizer.encode(
  await readFile(calibrationTextUrl(), "utf8"),
);
const calibration = Array.from({ length: 16 }, (_, i) =>
  text.slice(i * 256, (i + 1) * 256),
);
// #endregion calibration

// #region convert
const report = await convert(plan, {
  device: await cpuDevice({ threads: 2 }),
  calibration,
  output: folder("./from-library"),
  onProgress: ({ done, total }) =>
    process.stderr.write(`\r${done} of ${total}`),
  signal: AbortSignal.timeout(600_000),
});
for (const {
  layer,
  kvLoraRank,
  ropeDim,
  outputError,
} of report.layers) {
  console.log(
    `layer ${layer}: ${kvLoraRank} + ${ropeDim},`,
    `output error ${(100 * outputError).toFixed(1)} %`,
  );
}
// #endregion convert
await files.close();
