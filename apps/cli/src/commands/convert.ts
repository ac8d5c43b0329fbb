import {
  convert,
  ConversionError,
  methods,
  planConversion,
  type ConversionPlan,
  type ConversionReport,
  type MethodName,
} from "@transmla/conversion";
import { GenerationError } from "@transmla/generation";
import { calibrationSequences } from "../calibration";
import { defineCommand, type CommandContext, type FlagValues, type Result } from "../command";
import { usage } from "../errors";
import { choice, filled, integer, optional, part, toggle, withDefault, wordOr } from "../flags";
import { companionFiles, tokenizerOf, withModel, type LocatedModel } from "../model-location";
import { checkOutput, makeOutput } from "../output-folder";
import { bytes, count, duration, percent } from "../terminal/format";
import { properties, table } from "../terminal/table";
import type { Terminal } from "../terminal/terminal";
import { textFor } from "../text";

const methodNames = Object.keys(methods) as readonly MethodName[];

/** Part of the cache that a compressing method keeps when no size is given. */
const DEFAULT_KEEP = 0.25;

const flags = {
  method: choice("--method <name>", "how to convert", methodNames, "transmla"),
  keep: optional("--keep <part>", "part of the cache to keep (default: 25%)", part),
  kvRank: optional("--kv-rank <n>", "width of the latent, instead of --keep", integer(1)),
  ropeDim: optional("--rope-dim <n>", "rotated dimensions, with --kv-rank", integer(2)),
  freqFold: optional(
    "--freqfold <n>",
    "neighbouring frequencies that share a rotation, or auto (default: auto)",
    wordOr("auto", integer(1)),
  ),
  qRank: optional("--q-rank <n>", "low rank for the queries (default: dense)", integer(1)),
  calibration: optional("--calibration <file>", "UTF-8 text that the model is measured on", filled),
  samples: withDefault("--samples <n>", "sequences taken from that text", integer(2, 1e6), 64),
  sequenceLength: withDefault("--sequence-length <n>", "tokens of each", integer(2, 1e6), 256),
  seed: withDefault("--seed <n>", "where they are taken", integer(0), 0),
  dtype: choice("--dtype <type>", "numbers in the output", ["auto", "bf16", "f16", "f32"], "auto"),
  format: choice("--format <name>", "layout of the output", ["native"], "native"),
  dryRun: toggle("--dry-run", "check everything and print the plan, write nothing"),
};

type ConvertFlags = FlagValues<typeof flags>;

export const convertCommand = defineCommand({
  name: "convert",
  summary: "turn grouped-query attention into latent attention",
  arguments: [
    { name: "model", description: "folder, .gguf file or sample" },
    { name: "out", description: "folder for the converted model" },
  ],
  flags,
  examples: [
    ["transmla convert sample ./sample-mla --keep 50%", "half of the cache"],
    ["transmla convert ./model ./mla --method exact", "the same cache, the same logits"],
    ["transmla convert ./model ./mla --calibration book.txt --dry-run", "what would be done"],
  ],
  action: (context, [name = "", out = ""], values) =>
    withModel(name, async (model) => {
      const started = performance.now();
      const plan = planFor(model, values);
      checkCalibrationFlags(plan, values);
      const companions = await companionsOf(context, model);
      const fileNames = outputFiles(plan, companions.keys());
      await checkOutput(out, model.path, fileNames);
      const calibration = await calibrationFor(context, model, values);
      const job = { model, plan, out, calibration, companions, fileNames };
      if (values.dryRun) return printPlan(context.terminal, job);
      return execute(context, job, started);
    }),
});

interface Job {
  readonly model: LocatedModel;
  readonly plan: ConversionPlan;
  readonly out: string;
  readonly calibration: readonly Int32Array[];
  readonly companions: ReadonlyMap<string, Uint8Array>;
  /** Everything that will be written. */
  readonly fileNames: readonly string[];
}

function planFor({ files }: LocatedModel, values: ConvertFlags): ConversionPlan {
  const { method, keep, kvRank, ropeDim, freqFold, qRank, dtype } = values;
  const sized = keep !== undefined || kvRank !== undefined || ropeDim !== undefined;
  // Methods that need no calibration do not compress.
  const keepDefault = methods[method].needsCalibration && !sized ? DEFAULT_KEEP : undefined;
  try {
    return planConversion(files, {
      method,
      keep: keep ?? keepDefault,
      kvLoraRank: kvRank,
      ropeDim,
      freqFold,
      qLoraRank: qRank,
      dtype,
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
    return await companionFiles(model);
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

async function execute(context: CommandContext, job: Job, started: number): Promise<Result> {
  const { terminal, signal } = context;
  const { plan, calibration, companions, fileNames, out } = job;
  const device = await context.device();
  const output = await makeOutput(out, fileNames);
  const prepared = performance.now();
  try {
    terminal.working("converting");
    const report = await convert(plan, {
      device,
      calibration,
      output: output.folder,
      extraFiles: companions,
      onProgress: terminal.progressOf(),
      signal,
    });
    const seconds = {
      preparation: (prepared - started) / 1000,
      conversion: report.seconds,
      total: (performance.now() - started) / 1000,
    };
    printReport(terminal, job, report, seconds.total);
    return { ...report, seconds, peakRssBytes: process.resourceUsage().maxRSS * 1024 };
  } catch (error) {
    await output.discard();
    throw error;
  }
}

function printReport(
  terminal: Terminal,
  job: Job,
  report: ConversionReport,
  seconds: number,
): void {
  const { dim } = terminal.colour;
  const { freqFold, layers, calibrationTokens } = report;
  const fold = freqFold === undefined ? "" : `, FreqFold ${freqFold}`;
  terminal.print(...summary(terminal, job, `${report.method}${fold}`, calibrationTokens), "");
  if (calibrationTokens > 0) {
    const rows = layers.map(({ layer, keptEnergy, outputError }) => [
      String(layer),
      percent(keptEnergy, 2),
      percent(outputError, 2),
    ]);
    const columns = ["layer", "energy kept", "output error"].map(
      (heading) => ({ heading, align: "right" }) as const,
    );
    terminal.print(...table(columns, rows, dim), "");
  }
  const size = bytes(job.plan.shards.totalBytes);
  terminal.print(`Wrote ${job.out} (${size}) in ${duration(seconds)}.`);
  terminal.note(`Next: transmla compare ${job.model.name} ${job.out}`);
}

/** What is converted into what: the part that a plan and a report share. */
function summary(
  { colour }: Terminal,
  { model, plan, out }: Job,
  method: string,
  calibrationTokens: number,
): string[] {
  const { sizes, cacheBefore, cacheAfter } = plan;
  const kept = percent(cacheAfter / cacheBefore);
  const calibration = calibrationTokens > 0 ? `${count(calibrationTokens)} tokens` : "none needed";
  return [
    colour.bold(`${model.name} → ${out}`),
    ...properties(
      [
        ["method", method],
        ["latent", `${sizes.kvLoraRank} and ${sizes.ropeDim} rotated, per token and layer`],
        ["KV cache", `${count(cacheBefore)} → ${count(cacheAfter)} numbers per token (${kept})`],
        ["calibration", calibration],
      ],
      colour.dim,
    ),
  ];
}

function printPlan(terminal: Terminal, job: Job): Result {
  const { plan, calibration } = job;
  const { sizes, shards, tensors, cacheBefore, cacheAfter } = plan;
  const calibrationTokens = calibration.reduce((sum, { length }) => sum + length, 0);
  const fold = sizes.freqFold === "auto" ? ", FreqFold chosen on the text" : "";
  terminal.print(...summary(terminal, job, `${plan.method}${fold}`, calibrationTokens), "");
  const columns = (["left", "left", "left", "right", "left"] as const).map((align, index) => ({
    heading: ["tensor", "shape", "type", "copies", ""][index]!,
    align,
  }));
  terminal.print(...table(columns, tensorRows(plan), terminal.colour.dim), "");
  const files = shards.shards.map(({ file, plan: { byteLength } }) => ({
    file,
    bytes: byteLength,
  }));
  const outputBytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const fileCount = `${files.length} file${files.length === 1 ? "" : "s"}`;
  terminal.print(
    `Would write ${count(tensors.length)} tensors in ${fileCount}, ${bytes(outputBytes)}. Nothing was written.`,
  );
  return {
    dryRun: true,
    method: plan.method,
    ...sizes,
    cacheBefore,
    cacheAfter,
    keptFraction: cacheAfter / cacheBefore,
    calibrationTokens,
    outputBytes,
    files,
    tensors: tensors.map(({ name, shape, dtype, convertedLayer }) => ({
      name,
      shape,
      dtype: dtype.toLowerCase(),
      source: convertedLayer === undefined ? "copied" : "converted",
    })),
  };
}

/** Tensors that differ only in their layer share a row. */
function tensorRows({ tensors }: ConversionPlan): string[][] {
  const rows = new Map<string, { cells: string[]; copies: number; source: string }>();
  for (const { name, shape, dtype, convertedLayer } of tensors) {
    const cells = [name.replace(/\.\d+\./, ".*."), `[${shape.join(", ")}]`, dtype.toLowerCase()];
    const key = cells.join(" ");
    const source = convertedLayer === undefined ? "copied" : "converted";
    rows.set(key, { cells, copies: (rows.get(key)?.copies ?? 0) + 1, source });
  }
  return Array.from(rows.values(), ({ cells, copies, source }) => [
    ...cells,
    String(copies),
    source,
  ]);
}
