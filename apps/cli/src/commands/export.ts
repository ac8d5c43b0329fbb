import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { companionFiles, GenerationError, tokenizerGgufEntries } from "@transmla/generation";
import {
  planGgufExport,
  planSafetensorsExport,
  writeGgufExport,
  writeSafetensorsExport,
  type GgufWeights,
} from "@transmla/models";
import { fileSink, type GgufEntry } from "@transmla/tensor-io";
import { defineCommand, type CommandContext, type FlagValues } from "../command";
import { requireDisk } from "../disk";
import { CliError, usage } from "../errors";
import { choice } from "../flags";
import { shortName, withModel, type LocatedModel } from "../model-location";
import { checkOutput, withOutput } from "../output-folder";
import { bytes, duration } from "../terminal/format";

const weightTypes = {
  stored: "stored",
  f32: "F32",
  f16: "F16",
  bf16: "BF16",
  q8_0: "Q8_0",
} as const satisfies Record<string, GgufWeights>;

const flags = {
  dtype: choice(
    "--dtype <type>",
    "numbers in the output",
    Object.keys(weightTypes) as (keyof typeof weightTypes)[],
    "stored",
  ),
};

export const exportCommand = defineCommand({
  name: "export",
  summary: "write a model in another file format",
  arguments: [
    { name: "model", description: "folder, .gguf file, hub id or sample" },
    { name: "out", description: "a name that ends in .gguf, or a folder for safetensors" },
  ],
  flags,
  examples: [
    ["transmla export ./SmolLM2-135M smollm2.gguf --dtype q8_0", "for llama.cpp"],
    ["transmla export ./mla mla.gguf", "converted with --format deepseek-bias-free, for llama.cpp"],
    ["transmla export smollm2.gguf ./SmolLM2-135M", "a folder for Hugging Face transformers"],
  ],
  action: (context, [name = "", out = ""], values) =>
    withModel(context, name, async (model) => {
      const started = performance.now();
      const write = out.endsWith(".gguf") ? toGguf : toFolder;
      const result = await write(context, model, out, values);
      const seconds = (performance.now() - started) / 1000;
      context.terminal.print(
        `${out}: ${result.tensors} tensors, ${bytes(result.bytes)}, written in ${duration(seconds)}`,
      );
      return { ...result, seconds };
    }),
});

interface Exported {
  readonly format: "gguf" | "safetensors";
  readonly tensors: number;
  readonly bytes: number;
}

async function toGguf(
  { terminal, signal }: CommandContext,
  model: LocatedModel,
  out: string,
  { dtype }: FlagValues<typeof flags>,
): Promise<Exported> {
  const { files, name } = model;
  if (await stat(out).catch(() => undefined)) {
    throw new CliError("OutputExists", `${out} exists already; choose another name.`, {
      path: out,
    });
  }
  terminal.working("reading the tokenizer");
  const tokenizer = await tokenizerEntries(model, (message) => terminal.warn(message));
  const plan = planGgufExport(files, {
    weights: weightTypes[dtype],
    tokenizer,
    name: shortName(name).replace(/\.gguf$/, ""),
  });
  await requireDisk(out, plan.file.byteLength);
  const label = `writing ${basename(out)}`;
  await writeGgufExport(plan, fileSink(out), { onProgress: terminal.progressOf(label), signal });
  return { format: "gguf", tensors: plan.tensors.length, bytes: plan.file.byteLength };
}

/** A tokenizer that cannot be written is no reason to refuse the weights. */
async function tokenizerEntries(
  { files: { origin, config } }: LocatedModel,
  warn: (message: string) => void,
): Promise<Map<string, GgufEntry>> {
  try {
    return await tokenizerGgufEntries(origin, config.vocabSize);
  } catch (error) {
    if (!GenerationError.isInstance(error)) throw error;
    warn(`the output gets no tokenizer. ${error.message}`);
    return new Map();
  }
}

async function toFolder(
  { terminal, signal }: CommandContext,
  model: LocatedModel,
  out: string,
  { dtype }: FlagValues<typeof flags>,
): Promise<Exported> {
  const weights = weightTypes[dtype];
  if (weights === "Q8_0") {
    throw usage("safetensors has no q8_0; give a name that ends in .gguf, or another --dtype.", {
      dtype,
    });
  }
  const plan = planSafetensorsExport(model.files, { weights });
  const extraFiles = await companionFiles(model.files.origin);
  const index = plan.shards.index ? ["model.safetensors.index.json"] : [];
  const weightFiles = plan.shards.shards.map(({ file }) => file);
  const fileNames = [...weightFiles, ...index, ...extraFiles.keys(), "config.json"];
  const weightBytes = plan.shards.shards.reduce(
    (sum, { plan: { byteLength } }) => sum + byteLength,
    0,
  );
  await checkOutput(out, model.path, fileNames);
  await requireDisk(out, weightBytes);
  const onProgress = terminal.progressOf(`writing ${shortName(out)}`);
  await withOutput(out, fileNames, (folder) =>
    writeSafetensorsExport(plan, folder, { extraFiles, onProgress, signal }),
  );
  return {
    format: "safetensors",
    tensors: plan.tensors.length,
    bytes: weightBytes,
  };
}
