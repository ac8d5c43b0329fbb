import { join } from "node:path";
import { convert, planConversion, type ConversionOptions } from "@transmla/conversion";
import { perplexity } from "@transmla/evaluation";
import {
  calibrationSequences,
  generateText,
  type CalibrationSize,
  type Tokenizer,
} from "@transmla/generation";
import { kvCacheNumbersPerToken } from "@transmla/models";
import { folder } from "@transmla/tensor-io";
import { defineCommand, type Command, type CommandContext } from "../command";
import { load, SAMPLE, tokenizerOf, withModel, type LocatedModel } from "../model-location";
import { withTemporaryFolder } from "../temporary-folder";
import { count, duration, percent, printable, wrap } from "../terminal/format";
import { table } from "../terminal/table";
import type { Terminal } from "../terminal/terminal";
import { textFor } from "../text";

const PROMPT = "ROMEO:\n";
/** How much is read and written: the size of the demo and the time it takes. */
export interface DemoSize {
  /** Of the continuation of the prompt. */
  readonly textTokens: number;
  readonly evaluationTokens: number;
  readonly evaluationContext: number;
  readonly calibration: CalibrationSize;
  /** Parts of the cache that the compressed models keep. */
  readonly keptParts: readonly number[];
}

/** About a minute on two cores. */
const DEMO_SIZE: DemoSize = {
  textTokens: 32,
  evaluationTokens: 8192,
  evaluationContext: 512,
  calibration: { samples: 64, sequenceLength: 256, seed: 0 },
  keptParts: [0.5, 0.25],
};

export const demoCommand = demoOf(DEMO_SIZE);

/** The demo in a size of its own. */
export function demoOf(size: DemoSize): Command {
  return defineCommand({
    name: "demo",
    summary: "convert and measure the sample model, offline, in about a minute",
    arguments: [],
    flags: {},
    examples: [
      ["transmla demo", "see what a smaller cache costs"],
      ["transmla demo --json", "the same numbers for a program"],
    ],
    action: (context) =>
      withTemporaryFolder((directory) =>
        withModel(context, SAMPLE, async (sample) => {
          const started = performance.now();
          const { terminal } = context;
          const bench = await prepare(context, sample, size);
          printIntroduction(bench);
          const original = await measure(bench, "original", sample);
          const tell = (name: string, model: Measurement) => {
            printRow(terminal, name, model, original);
            return model;
          };
          printHeadings(terminal);
          tell(NAMES.original, original);
          const convertAs = (label: string, options: ConversionOptions) =>
            convertAndMeasure(bench, label, options, directory);
          const exact = tell(NAMES.exact, await convertAs("exact", { method: "exact" }));
          const compressed: Measurement[] = [];
          for (const keep of size.keptParts) {
            const model = await convertAs(`${100 * keep} %`, { method: "output-aware", keep });
            compressed.push(tell(NAMES.compressed, model));
          }
          const seconds = (performance.now() - started) / 1000;
          const story = { original, exact, compressed, prompt: PROMPT, seconds };
          printStory(terminal, story);
          return story;
        }),
      ),
  });
}

/** The rows of the table. */
const NAMES = {
  original: "original (GQA)",
  exact: "exact (MLA)",
  compressed: "compressed (MLA)",
} as const;

/** Rows are printed as they are measured, so the widths are known beforehand. */
const COLUMNS = [
  { heading: "model", align: "left", width: 16 },
  { heading: "cached numbers per token", align: "right" },
  { heading: "cache", align: "right" },
  { heading: "perplexity", align: "right" },
] as const;

/** What all measurements share. */
interface Bench {
  readonly size: DemoSize;
  readonly context: CommandContext;
  readonly sample: LocatedModel;
  readonly tokenizer: Tokenizer;
  readonly calibration: readonly Int32Array[];
  /** The text for measuring. */
  readonly tokens: Int32Array;
}

/** What is told of each model. */
interface Measurement {
  readonly perplexity: number;
  readonly kvCacheNumbersPerToken: number;
  /** The likeliest continuation of the prompt. */
  readonly text: string;
}

interface Story {
  readonly original: Measurement;
  readonly exact: Measurement;
  readonly compressed: readonly Measurement[];
  readonly seconds: number;
}

async function prepare(
  context: CommandContext,
  sample: LocatedModel,
  size: DemoSize,
): Promise<Bench> {
  context.terminal.working("reading the texts");
  const tokenizer = await tokenizerOf(sample);
  const tokensOf = async (kind: "calibration" | "evaluation") =>
    tokenizer.encode(await textFor(kind, SAMPLE, sample, context.signal));
  return {
    context,
    size,
    sample,
    tokenizer,
    calibration: calibrationSequences(await tokensOf("calibration"), size.calibration),
    tokens: (await tokensOf("evaluation")).subarray(0, size.evaluationTokens),
  };
}

async function convertAndMeasure(
  bench: Bench,
  label: string,
  options: ConversionOptions,
  directory: string,
): Promise<Measurement> {
  const { sample, calibration, context } = bench;
  const { terminal, signal } = context;
  const path = join(directory, label.replace(/\W/g, ""));
  terminal.working(`${label}: converting`);
  await convert(planConversion(sample.files, options), {
    device: await context.device(),
    calibration,
    output: folder(path),
    onProgress: terminal.progressOf(label),
    signal,
  });
  return withModel(context, path, (model) => measure(bench, label, { ...model, name: label }));
}

async function measure(bench: Bench, label: string, model: LocatedModel): Promise<Measurement> {
  const { context, tokenizer, tokens, size } = bench;
  const { terminal, signal } = context;
  const loaded = await load(model, await context.device(), context, size.evaluationContext);
  try {
    const result = await perplexity(loaded, tokens, {
      context: size.evaluationContext,
      signal,
      onProgress: terminal.progressOf(`${label}: measuring`),
    });
    terminal.working(`${label}: writing`);
    const continuation = { prompt: PROMPT, maxTokens: size.textTokens, signal };
    const { text } = await generateText(loaded, tokenizer, continuation);
    return {
      perplexity: result.perplexity,
      kvCacheNumbersPerToken: kvCacheNumbersPerToken(loaded.config),
      text,
    };
  } finally {
    loaded.release();
  }
}

function printIntroduction({ context, size, sample, tokens, calibration }: Bench): void {
  const { terminal } = context;
  const { config } = sample.files;
  const calibrationTokens = calibration.reduce((sum, { length }) => sum + length, 0);
  const text =
    `The sample model (${config.family}, ${config.layers.length} layers, grouped-query attention) is rewritten with ` +
    `latent attention: once exactly, and with ${size.keptParts.map((keep) => percent(keep, 0)).join(" and ")} of its KV cache. ` +
    `Calibrated on ${count(calibrationTokens)} tokens, measured on ${count(tokens.length)} others, no training.`;
  terminal.print(...wrap(text, terminal.columns), "");
}

function printHeadings(terminal: Terminal): void {
  terminal.print(...table(COLUMNS, [], terminal.colour.dim));
}

function printRow(
  terminal: Terminal,
  name: string,
  model: Measurement,
  original: Measurement,
): void {
  const cells = [
    name,
    count(model.kvCacheNumbersPerToken),
    percent(cacheOf(model, original), 0),
    terminal.colour.bold(model.perplexity.toFixed(2)),
  ];
  terminal.print(...table(COLUMNS, [cells]).slice(1));
}

const cacheOf = (model: Measurement, original: Measurement) =>
  model.kvCacheNumbersPerToken / original.kvCacheNumbersPerToken;

function printStory(terminal: Terminal, { original, exact, compressed, seconds }: Story): void {
  const models: readonly (readonly [string, Measurement])[] = [
    [NAMES.original, original],
    [NAMES.exact, exact],
    ...compressed.map((model) => [NAMES.compressed, model] as const),
  ];
  terminal.print("", `Likeliest continuation of ${JSON.stringify(PROMPT)}:`);
  for (const [name, model] of models) {
    const title = `${name}, ${percent(cacheOf(model, original), 0)}`;
    const text = printable(model.text)
      .trim()
      .replace(/\s*\n\s*/g, " / ");
    const lines = wrap(`${text} …`, terminal.columns - 2);
    terminal.print(terminal.colour.dim(title), ...lines.map((line) => `  ${line}`));
  }
  terminal.print("", ...wrap(conclusion(original, exact, compressed), terminal.columns));
  terminal.print(
    `Took ${duration(seconds)}. Next: transmla convert sample ./sample-mla --keep 50%`,
  );
}

/** Only what the numbers of this run say. */
function conclusion(
  original: Measurement,
  exact: Measurement,
  compressed: readonly Measurement[],
): string {
  const same = exact.perplexity.toFixed(2) === original.perplexity.toFixed(2);
  const exactly = same
    ? "The exact conversion keeps the cache and, to the digits shown, the perplexity."
    : `The exact conversion measured ${exact.perplexity.toFixed(3)} against ${original.perplexity.toFixed(3)}.`;
  const changes = compressed.map((model) => {
    const part = percent(cacheOf(model, original), 0);
    const times = (model.perplexity / original.perplexity).toFixed(2);
    return `with ${part} of the cache the perplexity is ${times} times the original's`;
  });
  return `${exactly} On this text, ${changes.join("; ")}.`;
}
