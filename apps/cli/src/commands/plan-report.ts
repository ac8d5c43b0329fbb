import { USABLE_MEMORY, type Sharing, type Target } from "@transmla/evaluation";
import type { CacheStorage } from "@transmla/kernels";
import { bytes, count, duration, parameters, percent } from "../terminal/format";
import { properties, table } from "../terminal/table";
import type { Terminal } from "../terminal/terminal";
import type { ConversionRow, PlannedDescription, PlannedRow } from "./plan";

interface PlanResult {
  readonly model: PlannedDescription;
  readonly target: Target;
  readonly context: number;
  readonly cacheStorage: CacheStorage;
  readonly sharing: Sharing;
  readonly deployments: readonly PlannedRow[];
  readonly conversions: readonly ConversionRow[];
}

/** Tells a person the plan. */
export function printDeployments(terminal: Terminal, name: string, plan: PlanResult): void {
  const { dim, bold } = terminal.colour;
  terminal.print(
    bold(`${name} on ${plan.target.name}`),
    ...properties(head(plan), dim),
    "",
    ...table(deploymentColumns(plan), plan.deployments.map(deploymentCells), dim),
  );
  if (plan.conversions.length > 0) {
    const rows = plan.conversions.map(conversionCells);
    terminal.print("", ...table(conversionColumns, rows, dim));
  }
  if (!plan.deployments.some(({ fits }) => fits)) {
    terminal.warn("the weights and one such sequence fit in no way.");
  }
  terminal.note("Speeds are what the hardware allows at most; conversion times are estimates.");
}

function head({ model, target, cacheStorage, sharing, context }: PlanResult) {
  const { devices, bandwidth, flops, memory } = target;
  const each = devices === 1 ? "" : `${devices} times `;
  const shared = {
    heads: "heads; latents are on every device",
    latent: "heads of grouped, the latent of latent attention",
    sequences: "whole sequences; attention weights are on every device",
  };
  return [
    [
      "model",
      `${model.family}, ${model.attention}, ${parameters(model.parameters)}, ${bytes(model.weightBytes)}, ${count(model.positions)} positions`,
    ],
    [
      "target",
      `${each}${bytes(bandwidth)}/s, ${flopText(flops)}, ${bytes(memory)} of which ${percent(USABLE_MEMORY, 0)} are used`,
    ],
    ...(devices === 1 ? [] : [["shared", shared[sharing]] as const]),
    ["cache", `${cacheStorage}, ${count(context)} tokens for batch, speed and prompt`],
  ] as const;
}

function flopText(flops: number): string {
  const [unit, size] = flops >= 1e12 ? (["TFLOP/s", 1e12] as const) : (["GFLOP/s", 1e9] as const);
  return `${(flops / size).toPrecision(3)} ${unit}`;
}

const right = (heading: string) => ({ heading, align: "right" }) as const;
const left = (heading: string) => ({ heading, align: "left" }) as const;

function deploymentColumns({ target }: PlanResult) {
  const where = target.devices === 1 ? "" : " and device";
  return [
    left("attention"),
    right(`per token${where}`),
    right("longest context"),
    right("batch"),
    right("one, tokens/s"),
    right("batch, tokens/s"),
    left("bound by"),
    right("prompt"),
  ];
}

function deploymentCells(row: PlannedRow): string[] {
  const { single, batched, longestContext, promptSeconds } = row;
  return [
    attentionText(row),
    bytes(row.cacheBytesPerToken),
    longestContext === null ? "any" : count(longestContext),
    count(row.largestBatch),
    speed(single?.tokensPerSecond),
    speed(batched?.tokensPerSecond),
    batched?.bound ?? single?.bound ?? "",
    promptSeconds === null ? "–" : duration(promptSeconds),
  ];
}

function attentionText({ keep, way, kvLoraRank, ropeDim }: PlannedRow): string {
  if (way === "grouped") return "grouped";
  const sizes = keep === undefined ? `${kvLoraRank} + ${ropeDim}` : `latent ${percent(keep)}`;
  return `${sizes}, ${way}`;
}

function speed(tokensPerSecond: number | undefined): string {
  if (tokensPerSecond === undefined) return "–";
  return tokensPerSecond < 100 ? tokensPerSecond.toFixed(1) : count(tokensPerSecond);
}

const conversionColumns = [
  left("conversion"),
  right("latent + rotated"),
  right("time here"),
  right("memory"),
  right("output"),
  right("until then"),
];

function conversionCells(row: ConversionRow): string[] {
  return [
    percent(row.keep),
    `${row.kvLoraRank} + ${row.ropeDim}`,
    `about ${duration(row.seconds)}`,
    bytes(row.memoryBytes),
    bytes(row.outputBytes),
    bytes(row.resumeBytes),
  ];
}
