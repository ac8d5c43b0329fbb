import {
  addWork,
  attentionWork,
  limitSeconds,
  measureLimits,
  measureSpeed,
  weightWork,
  type MachineLimits,
  type SpeedRow,
} from "@transmla/evaluation";
import type { ModelFiles, WeightPrecision } from "@transmla/models";
import { defineCommand } from "../command";
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
  action: (context, [name = ""], { context: contexts, decodeTokens }) =>
    withModel(context, name, async (model) => {
      const { terminal, signal } = context;
      const device = await context.device();
      terminal.working("measuring the machine");
      const machine = await measureLimits(device);
      const loaded = await load(model, device, context, Math.max(...contexts) + decodeTokens);
      const measured = await measureSpeed(loaded, {
        contexts,
        decodeTokens,
        signal,
        onProgress: terminal.progressOf(`measuring ${shortName(name)}`),
      });
      const { weights } = context.storage;
      const rows = withPredictions(model.files, weights, machine, measured);
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

interface BenchRow extends SpeedRow {
  /** Tokens per second if every byte and operation went at the machine's limit. */
  readonly decodePredicted: number;
  /**
   * Time the attention needs at the machine's limit over the time it took: what a step takes longer than at the shortest
   * context of the run. Absent for that one, and where the two differ too little.
   */
  readonly attentionFractionOfLimit?: number;
}

/** Part of a step that two equal measurements may differ by. */
const NOISE = 0.05;

function withPredictions(
  { config, checkpoint }: ModelFiles,
  precision: WeightPrecision | undefined,
  machine: MachineLimits,
  measured: readonly SpeedRow[],
): BenchRow[] {
  const weights = weightWork(config, checkpoint, precision);
  const [base] = measured;
  return measured.map((row) => {
    const attention = attentionWork(config, row.context);
    const seconds = limitSeconds(weights, machine) + limitSeconds(attention, machine);
    const decodePredicted = 1 / seconds;
    const longer = row.decodeSeconds - base!.decodeSeconds;
    // A difference of a few per cent of a step is noise, and says nothing about attention.
    if (longer < NOISE * base!.decodeSeconds) return { ...row, decodePredicted };
    const shortest = attentionWork(config, base!.context);
    const extra = addWork(attention, { bytes: -shortest.bytes, flops: -shortest.flops });
    return {
      ...row,
      decodePredicted,
      attentionFractionOfLimit: limitSeconds(extra, machine) / longer,
    };
  });
}

const columns = [
  { heading: "context", align: "right" },
  { heading: "prefill", align: "right" },
  { heading: "decode", align: "right" },
  { heading: "at the limit", align: "right" },
  { heading: "attention", align: "right" },
] as const;

function cells(row: BenchRow): string[] {
  const { context, prefill, decode, decodePredicted, attentionFractionOfLimit } = row;
  return [
    count(context),
    `${prefill.toFixed(0)} tokens/s`,
    `${decode.toFixed(1)} tokens/s`,
    `${decodePredicted.toFixed(1)} tokens/s`,
    attentionFractionOfLimit === undefined
      ? ""
      : `${percent(attentionFractionOfLimit, 0)} of limit`,
  ];
}
