import {
  convert,
  conversionNeeds,
  methods,
  planConversion,
  type ConversionReport,
  type MethodName,
} from "@transmla/conversion";
import { calibrationSequences, companionFiles } from "@transmla/generation";
import { assumedLimits } from "@transmla/kernels";
import { openModel } from "@transmla/models";
import { memoryFolder } from "@transmla/tensor-io";
import { describe, type OpenedModel } from "../description";
import type { Operation } from "../operation";
import type { BenchModel } from "../workbench";

/** What the page chose. */
export interface ConversionChoice {
  readonly method: MethodName;
  /** Part of the cache to keep, 0 … 1; sizes given as `ropeDim` share it with the latent. */
  readonly keep: number;
  /** Rotated numbers per token and layer; absent: chosen on the calibration text. */
  readonly ropeDim?: number | undefined;
  /** Calibration tokens, in sequences of `SEQUENCE`. */
  readonly tokens: number;
  /** Text to calibrate on, instead of the sample model's. */
  readonly text?: string | undefined;
}

export interface ConversionOutcome {
  readonly report: ConversionReport;
  readonly model: OpenedModel;
}

/** Tokens of a calibration sequence at most. */
const SEQUENCE = 256;

/**
 * Converts the original into memory and opens the result beside it.
 *
 * @throws PlaygroundError `NoModel`; ConversionError; GenerationError `TextTooShort`; the signal's reason
 */
export const convertModel: Operation<ConversionChoice, ConversionOutcome> = async (
  bench,
  choice,
  { emit, signal },
) => {
  const original = bench.at("original");
  const plan = planFor(original, choice);
  const calibration = await calibrationFor(original, choice, () => bench.text("calibration"));
  const output = memoryFolder(new Map(), `${original.name}-mla`);
  const device = await bench.device();
  const report = await convert(plan, {
    device,
    calibration,
    output,
    extraFiles: await companionFiles(original.files.origin),
    onProgress: ({ phase, ...progress }) => emit({ label: phase, ...progress }),
    signal,
  });
  const percent = Number((100 * report.keptFraction).toFixed(1));
  const name = `${original.name} at ${percent} %`;
  const converted = await bench.place("converted", await openModel(output), { name, output });
  return { report, model: describe("converted", converted) };
};

/** Seconds that a conversion takes on an ordinary machine with so many threads; see `conversionNeeds`. */
export const estimateConversion: Operation<
  ConversionChoice & { readonly threads: number },
  { readonly seconds: number; readonly memoryBytes: number; readonly outputBytes: number }
> = async (bench, choice) => {
  const plan = planFor(bench.at("original"), choice);
  const { gemm } = assumedLimits(choice.threads);
  return conversionNeeds(plan, { tokens: choice.tokens, gemm });
};

function planFor({ files }: BenchModel, { method, keep, ropeDim }: ConversionChoice) {
  if (!methods[method].needsCalibration) return planConversion(files, { method });
  if (ropeDim === undefined) return planConversion(files, { method, keep });
  const { sizes } = planConversion(files, { method, keep });
  const kvLoraRank = sizes.kvLoraRank + sizes.ropeDim - ropeDim;
  return planConversion(files, { method, kvLoraRank, ropeDim });
}

async function calibrationFor(
  { tokenizer, files }: BenchModel,
  { method, tokens, text }: ConversionChoice,
  ownText: () => Promise<string>,
): Promise<readonly Int32Array[]> {
  if (!methods[method].needsCalibration) return [];
  const sequenceLength = Math.min(SEQUENCE, files.config.maxPositions);
  const samples = Math.max(2, Math.round(tokens / sequenceLength));
  const stream = tokenizer.encode(text ?? (await ownText()));
  return calibrationSequences(stream, { samples, sequenceLength, seed: 0 });
}
