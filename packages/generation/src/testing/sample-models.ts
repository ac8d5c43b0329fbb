import { readFileSync } from "node:fs";
import { convert, planConversion } from "@transmla/conversion";
import { cpuDevice, type Device } from "@transmla/kernels";
import { loadModel, openModel, type Model } from "@transmla/models";
import { calibrationTextUrl, evaluationTextUrl, modelFolderPath } from "@transmla/sample-model";
import { folder, memoryFolder } from "@transmla/tensor-io";
import { loadTokenizer } from "../tokenizer/load-tokenizer";

/** The sample model as it is, and converted to latent attention with a quarter of its cache. */
export async function sampleModels(device?: Device): Promise<{ gqa: Model; mla: Model }> {
  const on = device ?? (await cpuDevice());
  const files = await openModel(folder(modelFolderPath()));
  const output = memoryFolder();
  const plan = planConversion(files, { method: "transmla", keep: 0.25, freqFold: 1 });
  const calibration = await sampleTokens("calibration", 1024);
  const sequences = Array.from({ length: 8 }, (_, i) => calibration.slice(128 * i, 128 * (i + 1)));
  await convert(plan, { device: on, calibration: sequences, output });
  const gqa = await loadModel(files, on);
  const mla = await loadModel(await openModel(output), on);
  await files.close();
  return { gqa, mla };
}

/** The first tokens of a text of the sample model. */
export async function sampleTokens(
  name: "calibration" | "evaluation",
  count: number,
): Promise<Int32Array> {
  const tokenizer = await loadTokenizer({ folder: folder(modelFolderPath()) });
  return tokenizer
    .encode(
      readFileSync(
        name === "calibration" ? calibrationTextUrl() : evaluationTextUrl(),
        "utf8",
      ).slice(0, 8 * count),
    )
    .slice(0, count);
}
