import {
  attentionWork,
  limitSeconds,
  measureLimits,
  measureSpeed,
  prefillWork,
  SPEED_CHUNK,
  weightWork,
  type SpeedRow,
} from "@transmla/evaluation";
import type { MachineLimits } from "@transmla/kernels";
import type { ModelFiles } from "@transmla/models";
import { defineCommand, type ModelStorage } from "../command";
import { integer, integers, withDefault } from "../flags";
import { load, shortName, withModel } from "../model-location";
import { count, percent } from "../terminal/format";
import { properties, table } from "../terminal/table";

export const benchCommand = defineCommand({
  name: "bench",
  summary: "measure speed against what this machine can do",
  arguments: [{ name: "model", description: "folder, .gguf file, hub id or sample" }],
  flags: {
    context: withDefault(
      "--context <n,…>",
      "tokens in the cache while decoding, several with commas",
      integers(1),
      [128, 512, 1000],
    ),
    decodeTokens: withDefault(
      "--decode-tokens <n>",
      "tokens decoded at each",
      integer(1, 4096),
      16,
    ),
  },
  examples: [
    ["transmla bench sample", "the sample model at its usual contexts"],
    ["transmla bench ./mla --context 128,1024,4096 --threads 2", "a model of yours, two threads"],
  ],
  action: (context, [name = ""], { context: asked, decodeTokens }) =>
    withModel(context, name, async (model) => {
      const { terminal, signal } = context;
      const contexts = withRoomToDecode(asked, model.files.config.maxPositions, decodeTokens);
      if (contexts.some((cached, index) => cached !== asked[index])) {
        terminal.note(`the longest context leaves room to decode ${decodeTokens} tokens.`);
      }
      const device = await context.device();
      terminal.working("measuring the machine");
      const machine = await measureLimits(device);
      const loaded = await load(model, device, context, Math.max(...contexts) + decodeTokens);
      const measured = await measureSpeed(loaded, {
        // What a step takes beyond that at one cached token is attention.
        contexts: [1, ...contexts],
        decodeTokens,
        signal,
        onProgress: terminal.progressOf(`measuring ${shortName(name)}`),
      });
      const [base] = measured;
      const rows = measured
        .filter(({ context: cached }) => contexts.includes(cached))
        .map((row) => withPrediction(row, base!, predictor(model.files, context.storage, machine)));
      const { bold, dim } = terminal.colour;
      terminal.print(
        bold(name),
        ...properties(
          [
            ["bandwidth", `${(machine.bandwidth / 1e9).toFixed(1)} GB/s of float32 weights`],
            ["arithmetic", `${(machine.gemm / 1e9).toFixed(1)} GFLOP/s, matrix product`],
          ],
          dim,
        ),
        "",
        ...table(columns, rows.map(cells), dim),
      );
      return { machine, rows };
    }),
});

/** Contexts up to the model's last position, less the tokens that are decoded there; longer ones stay, to be refused. */
function withRoomToDecode(contexts: readonly number[], positions: number, decoded: number) {
  const most = Math.max(1, positions - decoded);
  return contexts.map((context) => (context <= positions ? Math.min(context, most) : context));
}

interface BenchRow extends SpeedRow {
  /** Tokens per second if every byte and operation went at the machine's limit. */
  readonly decodePredicted: number;
  /** The same of filling the cache up to here, absorbed attention. */
  readonly prefillPredicted: number;
  /**
   * Time the attention needs at the machine's limit over the time it took: what a step takes longer than with one cached
   * token. Absent where the two differ too little.
   */
  readonly attentionFractionOfLimit?: number;
}

/** Part of a step that two equal measurements may differ by. */
const NOISE = 0.05;

/** Least seconds of the parts of a step. */
interface Predictor {
  readonly weights: number;
  attention(context: number): number;
  prefill(from: number, to: number): number;
}

function predictor(
  { config, checkpoint }: ModelFiles,
  { weights: precision, cacheStorage: storage = "f32" }: ModelStorage,
  machine: MachineLimits,
): Predictor {
  const weights = weightWork(config, checkpoint, precision);
  return {
    weights: limitSeconds(weights, machine),
    attention: (context) => limitSeconds(attentionWork(config, context, storage), machine),
    prefill(from, to) {
      let seconds = 0;
      for (let cached = from; cached < to; cached += SPEED_CHUNK) {
        const tokens = Math.min(SPEED_CHUNK, to - cached);
        const work = prefillWork(config, weights, { cached, tokens, storage });
        seconds += limitSeconds(work.weights, machine) + limitSeconds(work.attention, machine);
      }
      return seconds;
    },
  };
}

function withPrediction(row: SpeedRow, base: SpeedRow, least: Predictor): BenchRow {
  const { context, filledFrom, decodeSeconds } = row;
  const predicted = {
    ...row,
    decodePredicted: 1 / (least.weights + least.attention(context)),
    prefillPredicted: (context - filledFrom) / least.prefill(filledFrom, context),
  };
  const longer = decodeSeconds - base.decodeSeconds;
  // A difference of a few per cent of a step is noise, and says nothing about attention.
  if (longer < NOISE * base.decodeSeconds) return predicted;
  const extra = least.attention(context) - least.attention(base.context);
  return { ...predicted, attentionFractionOfLimit: extra / longer };
}

const columns = [
  { heading: "context", align: "right" },
  { heading: "prefill", align: "right" },
  { heading: "at the limit", align: "right" },
  { heading: "decode", align: "right" },
  { heading: "at the limit", align: "right" },
  { heading: "attention", align: "right" },
] as const;

function cells(row: BenchRow): string[] {
  const { attentionFractionOfLimit: part } = row;
  return [
    count(row.context),
    `${row.prefill.toFixed(0)} tokens/s`,
    row.prefillPredicted.toFixed(0),
    `${row.decode.toFixed(1)} tokens/s`,
    row.decodePredicted.toFixed(1),
    part === undefined ? "" : `${percent(part, 0)} of limit`,
  ];
}
