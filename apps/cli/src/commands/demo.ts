import { join } from "node:path";
import { convert, planConversion, type ConversionOptions } from "@transmla/conversion";
import { perplexity } from "@transmla/evaluation";
import { generateText, type Tokenizer } from "@transmla/generation";
import { kvCacheNumbersPerToken } from "@transmla/models";
import { folder } from "@transmla/tensor-io";
import { calibrationSequences } from "../calibration";
import { defineCommand, type CommandContext } from "../command";
import { load, SAMPLE, tokenizerOf, withModel, type LocatedModel } from "../model-location";
import { withTemporaryFolder } from "../temporary-folder";
import { count, duration, percent, printable, wrap } from "../terminal/format";
import { table } from "../terminal/table";
import type { Terminal } from "../terminal/terminal";
import { textFor } from "../text";

const PROMPT = "ROMEO:\n";
const TEXT_TOKENS = 32;
const EVALUATION_TOKENS = 8192;
const EVALUATION_CONTEXT = 512;
const CALIBRATION = { samples: 64, sequenceLength: 256, seed: 0 };
const KEPT_PARTS = [0.5, 0.25];

export const demoCommand = defineCommand({
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
      withModel(SAMPLE, async (sample) => {
        const started = performance.now();
        const bench = await prepare(context, sample);
        printIntroduction(bench);
        const original = await measure(bench, "original", sample);
        const convertAs = (label: string, options: ConversionOptions) =>
          convertAndMeasure(bench, label, options, directory);
        const exact = await convertAs("exact", { method: "exact" });
        const compressed: Measurement[] = [];
        for (const keep of KEPT_PARTS) {
          compressed.push(await convertAs(`${100 * keep} %`, { method: "transmla", keep }));
        }
        const seconds = (performance.now() - started) / 1000;
        const story = { original, exact, compressed, prompt: PROMPT, seconds };
        printStory(context.terminal, story);
        return story;
      }),
    ),
});

/** What all measurements share. */
interface Bench {
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

async function prepare(context: CommandContext, sample: LocatedModel): Promise<Bench> {
  context.terminal.working("reading the texts");
  const tokenizer = await tokenizerOf(sample);
  const tokensOf = async (kind: "calibration" | "evaluation") =>
    tokenizer.encode(await textFor(kind, SAMPLE, sample, context.signal));
  return {
    context,
    sample,
    tokenizer,
    calibration: calibrationSequences(await tokensOf("calibration"), CALIBRATION),
    tokens: (await tokensOf("evaluation")).subarray(0, EVALUATION_TOKENS),
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
  return withModel(path, (model) => measure(bench, label, { ...model, name: label }));
}

async function measure(bench: Bench, label: string, model: LocatedModel): Promise<Measurement> {
  const { context, tokenizer, tokens } = bench;
  const { terminal, signal } = context;
  const loaded = await load(model, await context.device(), context);
  try {
    const result = await perplexity(loaded, tokens, {
      context: EVALUATION_CONTEXT,
      signal,
      onProgress: terminal.progressOf(`${label}: measuring`),
    });
    terminal.working(`${label}: writing`);
    const continuation = { prompt: PROMPT, maxTokens: TEXT_TOKENS, signal };
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

function printIntroduction({ context, sample, tokens, calibration }: Bench): void {
  const { terminal } = context;
  const { config } = sample.files;
  const calibrationTokens = calibration.reduce((sum, { length }) => sum + length, 0);
  const text =
    `The sample model (${config.family}, ${config.layers.length} layers, grouped-query attention) is rewritten with ` +
    `latent attention: once exactly, and with ${KEPT_PARTS.map((keep) => percent(keep, 0)).join(" and ")} of its KV cache. ` +
    `Calibrated on ${count(calibrationTokens)} tokens, measured on ${count(tokens.length)} others, no training.`;
  terminal.print(...wrap(text, terminal.columns), "");
}

function printStory(terminal: Terminal, { original, exact, compressed, seconds }: Story): void {
  const { bold, dim } = terminal.colour;
  const models: readonly (readonly [string, Measurement])[] = [
    ["original (GQA)", original],
    ["exact (MLA)", exact],
    ...compressed.map((model) => ["transmla (MLA)", model] as const),
  ];
  const cacheOf = (model: Measurement) =>
    model.kvCacheNumbersPerToken / original.kvCacheNumbersPerToken;
  const rows = models.map(([name, model]) => [
    name,
    count(model.kvCacheNumbersPerToken),
    percent(cacheOf(model), 0),
    bold(model.perplexity.toFixed(2)),
  ]);
  const columns = [
    { heading: "model", align: "left" },
    { heading: "cached numbers per token", align: "right" },
    { heading: "cache", align: "right" },
    { heading: "perplexity", align: "right" },
  ] as const;
  terminal.print(...table(columns, rows, dim), "");
  terminal.print(`Likeliest continuation of ${JSON.stringify(PROMPT)}:`);
  for (const [name, model] of models) {
    const title = `${name}, ${percent(cacheOf(model), 0)}`;
    const text = printable(model.text)
      .replace(/\s*\n\s*/g, " / ")
      .trim();
    const lines = wrap(text, terminal.columns - 2);
    terminal.print(dim(title), ...lines.map((line) => `  ${line}`));
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
    const part = percent(model.kvCacheNumbersPerToken / original.kvCacheNumbersPerToken, 0);
    const times = (model.perplexity / original.perplexity).toFixed(2);
    return `with ${part} of the cache the perplexity is ${times} times the original's`;
  });
  return `${exactly} On this text, ${changes.join("; ")}.`;
}
