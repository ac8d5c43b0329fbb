import {
  convert,
  ConversionError,
  diskNeeds,
  formats,
  methods,
  planConversion,
  removeLeftoverLayers,
  savedLayers,
  stepNames,
  type ConversionPlan,
  type DiskNeeds,
  type FormatName,
  type MethodName,
} from "@transmla/conversion";
import { calibrationSequences, companionFiles, GenerationError } from "@transmla/generation";
import { folder, type WritableFolder } from "@transmla/tensor-io";
import { defineCommand, type CommandContext, type FlagValues, type Result } from "../command";
import { requireDisk } from "../disk";
import { usage } from "../errors";
import {
  byteCount,
  choice,
  filled,
  integer,
  optional,
  part,
  toggle,
  withDefault,
  wordOr,
  words,
} from "../flags";
import { tokenizerOf, withModel, type LocatedModel } from "../model-location";
import { checkOutput, withOutput } from "../output-folder";
import { count } from "../terminal/format";
import type { Terminal } from "../terminal/terminal";
import { textFor } from "../text";
import { printPlan, printReport, warnOfMemory, type ConversionJob } from "./conversion-report";

const formatNames = Object.keys(formats) as readonly FormatName[];
const methodNames = Object.keys(methods) as readonly MethodName[];

/** Part of the cache that a compressing method keeps when no size is given. */
const DEFAULT_KEEP = 0.25;

const flags = {
  method: choice("--method <name>", "how to convert", methodNames, "output-aware"),
  keep: optional("--keep <part>", "part of the cache to keep (default: 25%)", part),
  kvRank: optional("--kv-rank <n>", "width of the latent, instead of --keep", integer(1)),
  ropeDim: optional("--rope-dim <n>", "rotated dimensions, with --kv-rank", integer(2)),
  freqFold: optional(
    "--freqfold <n>",
    "neighbouring frequencies that share a rotation, or auto (default: auto)",
    wordOr("auto", integer(1)),
  ),
  qRank: optional("--q-rank <n>", "low rank for the queries (default: dense)", integer(1)),
  without: optional(
    "--without <steps>",
    `steps of output-aware to leave out, to see what they are worth: ${stepNames.join(", ")}`,
    words(stepNames),
  ),
  calibration: optional("--calibration <file>", "UTF-8 text that the model is measured on", filled),
  samples: withDefault("--samples <n>", "sequences taken from that text", integer(2, 1e6), 64),
  sequenceLength: withDefault("--sequence-length <n>", "tokens of each", integer(2, 1e6), 256),
  seed: withDefault("--seed <n>", "where they are taken", integer(0), 0),
  dtype: choice("--dtype <type>", "numbers in the output", ["auto", "bf16", "f16", "f32"], "auto"),
  format: choice("--format <name>", "layout of the output", formatNames, "native"),
  maxShardSize: optional(
    "--max-shard-size <bytes>",
    "most bytes per file (default: 5GB)",
    byteCount,
  ),
  resume: toggle("--resume", "go on with an interrupted conversion into the same folder"),
  dryRun: toggle("--dry-run", "check everything and print the plan, write nothing"),
};

type ConvertFlags = FlagValues<typeof flags>;

export const convertCommand = defineCommand({
  name: "convert",
  summary: "turn grouped-query attention into latent attention",
  arguments: [
    { name: "model", description: "folder, .gguf file, hub id or sample" },
    { name: "out", description: "folder for the converted model" },
  ],
  flags,
  examples: [
    ["transmla convert sample ./sample-mla --keep 50%", "half of the cache"],
    ["transmla convert ./model ./mla --method exact", "the same cache, the same logits"],
    ["transmla convert ./model ./mla --format deepseek", "for stock Hugging Face transformers"],
    ["transmla convert ./model ./mla --format deepseek-bias-free", "for transmla export to GGUF"],
    ["transmla convert ./model ./mla --calibration book.txt --dry-run", "what would be done"],
    ["transmla convert sample ./poorer --without complex,centring", "what two steps are worth"],
  ],
  action: (context, [name = "", out = ""], values) =>
    withModel(context, name, async (model) => {
      const started = performance.now();
      const plan = planFor(model, values);
      checkCalibrationFlags(plan, values);
      const companions = await companionsOf(context, model);
      const fileNames = outputFiles(plan, companions.keys());
      // Whoever was stopped while it cleared up is done: that is what the check then says.
      if (values.resume && !values.dryRun) await removeLeftoverLayers(folder(out));
      await checkOutput(out, model.path, fileNames, values.resume);
      const freeDisk = await requireDisk(out, sum(diskNeeds(plan)));
      const calibration = await calibrationFor(context, model, values);
      const job = { model, plan, out, calibration, companions, fileNames, freeDisk };
      warnOfMemory(context.terminal, job);
      if (values.dryRun) return printPlan(context.terminal, job);
      return execute(context, job, started, values.resume);
    }),
});

const sum = ({ output, layers }: DiskNeeds): number => output + layers;

function planFor({ files }: LocatedModel, values: ConvertFlags): ConversionPlan {
  const { method, format, keep, kvRank, ropeDim, freqFold, qRank, without, dtype, maxShardSize } =
    values;
  const sized = keep !== undefined || kvRank !== undefined || ropeDim !== undefined;
  // Methods that need no calibration do not compress.
  const keepDefault = methods[method].needsCalibration && !sized ? DEFAULT_KEEP : undefined;
  try {
    return planConversion(files, {
      method,
      format,
      keep: keep ?? keepDefault,
      kvLoraRank: kvRank,
      ropeDim,
      freqFold,
      qLoraRank: qRank,
      steps: without && Object.fromEntries(without.map((step) => [step, false])),
      dtype,
      maxShardBytes: maxShardSize,
    });
  } catch (error) {
    if (!ConversionError.isInstance(error) || error.code !== "InvalidOption") throw error;
    throw usage(withFlagNames(error.message), error.context);
  }
}

/** Flags by the names that the library has for them. */
const flagNames: Readonly<Record<string, string>> = {
  keep: "--keep",
  kvLoraRank: "--kv-rank",
  ropeDim: "--rope-dim",
  freqFold: "--freqfold",
  qLoraRank: "--q-rank",
  steps: "--without",
};

function withFlagNames(message: string): string {
  return message.replace(/\b\w+\b/g, (word) =>
    Object.hasOwn(flagNames, word) ? flagNames[word]! : word,
  );
}

/** A tokenizer that cannot be carried over is no reason not to convert the weights. */
async function companionsOf(
  { terminal }: CommandContext,
  model: LocatedModel,
): Promise<Map<string, Uint8Array>> {
  try {
    return await companionFiles(model.files.origin);
  } catch (error) {
    if (!GenerationError.isInstance(error)) throw error;
    terminal.warn(`the output gets no tokenizer. ${error.message}`);
    return new Map();
  }
}

function outputFiles({ shards }: ConversionPlan, companions: Iterable<string>): string[] {
  const weights = shards.shards.map(({ file }) => file);
  const index = shards.index ? ["model.safetensors.index.json"] : [];
  return [...weights, ...index, ...companions, "config.json"];
}

function checkCalibrationFlags(
  { config: { maxPositions } }: ConversionPlan,
  { method, calibration, sequenceLength }: ConvertFlags,
): void {
  if (!methods[method].needsCalibration) {
    if (calibration === undefined) return;
    throw usage(`method ${method} needs no text; leave --calibration out.`, { method });
  }
  if (sequenceLength <= maxPositions) return;
  throw usage(
    `--sequence-length ${sequenceLength} is more than the ${maxPositions} tokens the model can see.`,
    { sequenceLength, maxPositions },
  );
}

async function calibrationFor(
  { terminal, signal }: CommandContext,
  model: LocatedModel,
  { method, calibration, samples, sequenceLength, seed }: ConvertFlags,
): Promise<readonly Int32Array[]> {
  if (!methods[method].needsCalibration) return [];
  terminal.working("reading the calibration text");
  const text = await textFor("calibration", calibration, model, signal);
  const tokens = (await tokenizerOf(model)).encode(text);
  const sequences = calibrationSequences(tokens, { samples, sequenceLength, seed });
  if (tokens.length < samples * sequenceLength) {
    terminal.warn(
      `the calibration text has ${count(tokens.length)} tokens, so ${samples} samples of ${sequenceLength} overlap.`,
    );
  }
  return sequences;
}

async function execute(
  context: CommandContext,
  job: ConversionJob,
  started: number,
  resume: boolean,
): Promise<Result> {
  const { terminal, signal } = context;
  const { plan, calibration, companions, fileNames, out } = job;
  const device = await context.device();
  const write = async (output: WritableFolder) => {
    const prepared = performance.now();
    terminal.working("converting");
    const report = await convert(plan, {
      device,
      calibration,
      output,
      extraFiles: companions,
      onProgress: terminal.progressOf(),
      signal,
      resumable: true,
      resume,
    });
    const seconds = {
      preparation: (prepared - started) / 1000,
      conversion: report.seconds,
      total: (performance.now() - started) / 1000,
    };
    printReport(terminal, job, report, seconds.total);
    return { ...report, seconds, peakRssBytes: process.resourceUsage().maxRSS * 1024 };
  };
  try {
    return await withOutput(out, fileNames, write, { resume });
  } catch (error) {
    await tellWhatIsKept(terminal, job);
    throw error;
  }
}

/** Finished layers of a conversion that came to no end. */
async function tellWhatIsKept(terminal: Terminal, { plan, out }: ConversionJob): Promise<void> {
  const kept = await savedLayers(folder(out)).catch(() => []);
  if (kept.length === 0) return;
  terminal.warn(
    `${kept.length} of ${plan.config.layers.length} layers are kept in ${out}; the same command with --resume goes on with them.`,
  );
}
