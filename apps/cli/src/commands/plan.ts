import { availableParallelism, totalmem } from "node:os";
import {
  conversionNeeds,
  ConversionError,
  methods,
  planUpperBound,
  type ConversionNeeds,
  type ConversionPlan,
  type MethodName,
} from "@transmla/conversion";
import {
  deploymentRows,
  deviceSheets,
  measureLimits,
  storedModel,
  targetNamed,
  writtenModel,
  type DeploymentRow,
  type DeploymentSetting,
  type PlannedModel,
  type Sharing,
  type Target,
} from "@transmla/evaluation";
import { assumedLimits } from "@transmla/kernels";
import { modelTensors, type ModelConfig, type ModelFiles } from "@transmla/models";
import { defineCommand, type CommandContext, type FlagValues } from "../command";
import { usage } from "../errors";
import {
  byteCount,
  choice,
  flopRate,
  integer,
  listOf,
  optional,
  part,
  withDefault,
} from "../flags";
import { withModelHeaders } from "../model-location";
import { printDeployments } from "./plan-report";

/** The target that is measured, not looked up. */
const HERE = "here";

/** Tokens in the cache for batch and speed, unless the model knows fewer positions. */
const DEFAULT_CONTEXT = 8192;

const DEFAULT_KEEP = [0.5, 0.25, 0.125];

const compressing = (Object.keys(methods) as readonly MethodName[]).filter(
  (name) => methods[name].needsCalibration,
);

const flags = {
  target: optional(
    "--target <name>",
    `hardware: ${HERE} (measured, the default), or ${Object.keys(deviceSheets).join(", ")}, with a count such as h100x8`,
    (text) => (text === HERE ? text : targetNamed(text)),
  ),
  bandwidth: optional("--bandwidth <bytes>", "per second, of a device of your own", byteRate),
  flops: optional("--flops <rate>", "operations per second of that device", flopRate),
  memory: optional("--memory <bytes>", "memory of that device", byteCount),
  devices: optional("--devices <n>", "how many of them (default: 1)", integer(1, 9999)),
  keep: optional(
    "--keep <parts>",
    "parts of the cache to plan conversions to, several with commas (default: 50%,25%,12.5%)",
    listOf(part),
  ),
  context: optional(
    "--context <n>",
    `tokens in the cache for batch and speed (default: ${DEFAULT_CONTEXT}, or the model's positions)`,
    integer(1),
  ),
  batch: optional("--batch <n>", "sequences at once (default: as many as fit)", integer(1)),
  share: choice(
    "--share <what>",
    "what several devices share; latents are copied with heads, cut with latent",
    ["heads", "latent", "sequences"] as readonly Sharing[],
    "heads",
  ),
  method: choice("--method <name>", "how to convert", compressing, "output-aware"),
  samples: withDefault("--samples <n>", "calibration sequences", integer(2, 1e6), 64),
  sequenceLength: withDefault("--sequence-length <n>", "tokens of each", integer(2, 1e6), 256),
};

type PlanFlags = FlagValues<typeof flags>;

export const planCommand = defineCommand({
  name: "plan",
  summary: "say what a model and its conversions need, and how fast they can be, on named hardware",
  arguments: [
    { name: "model", description: "folder, .gguf file, hub id, sample, or a config.json alone" },
  ],
  flags,
  examples: [
    ["transmla plan sample", "the sample model on this machine, which is measured"],
    ["transmla plan ./Llama-3-70B --target h100x8", "eight H100; weights need not be there"],
    ["transmla plan ./config.json --target phone-browser --weights i8", "a page on a phone"],
    ["transmla plan org/name --target h100x8 --share latent --context 32768", "latents cut"],
    [
      "transmla plan ./model --bandwidth 100GB --flops 2TFLOPS --memory 16GB --keep 25%",
      "hardware of your own, one conversion",
    ],
  ],
  action: (context, [name = ""], values) =>
    withModelHeaders(context, name, async ({ files }) => {
      const { config } = files;
      const target = await targetOf(context, values);
      const cached = values.context ?? Math.min(DEFAULT_CONTEXT, config.maxPositions);
      const cacheStorage = context.storage.cacheStorage ?? "bf16";
      const conversions = conversionsOf(files, values);
      const setting: DeploymentSetting = {
        target,
        cached,
        cacheStorage,
        batch: values.batch,
        sharing: values.share,
      };
      const precision = context.storage.weights ?? "stored";
      const rows: readonly PlannedRow[] = [
        ...deploymentRows(storedModel(files, precision), setting),
        ...conversions.flatMap(({ keep, plan }) =>
          deploymentRows(writtenModel(plan, precision), setting).map((row) => ({ keep, ...row })),
        ),
      ];
      const needs = conversions.map(({ keep, plan }) => needsOf(context, values, keep, plan));
      const result = {
        model: describe(storedModel(files, precision)),
        target,
        context: cached,
        cacheStorage,
        sharing: values.share,
        deployments: rows,
        conversions: needs,
      };
      printDeployments(context.terminal, name, result);
      return result;
    }),
});

function byteRate(value: string): number {
  return byteCount(value.replace(/\/s$/, ""));
}

async function targetOf(context: CommandContext, values: PlanFlags): Promise<Target> {
  const { target, bandwidth, flops, memory, devices } = values;
  const own = { bandwidth, flops, memory };
  const given = Object.values(own).filter((value) => value !== undefined).length;
  if (given === 0 && devices === undefined) {
    return target === undefined || target === HERE ? thisMachine(context) : target;
  }
  if (target !== undefined) throw usage("give --target, or a device of your own; not both.");
  if (bandwidth === undefined || flops === undefined || memory === undefined) {
    throw usage("a device of your own needs --bandwidth, --flops and --memory.", own);
  }
  return { name: "given", devices: devices ?? 1, bandwidth, flops, memory };
}

/** As `bench` measures it: what the CPU device reaches, and what it can address. */
async function thisMachine(context: CommandContext): Promise<Target> {
  context.terminal.working("measuring the machine");
  const { bandwidth, gemm } = await measureLimits(await context.device());
  const memory = Math.min(totalmem(), 2 ** 32);
  return { name: HERE, devices: 1, bandwidth, flops: gemm, memory };
}

interface PlannedConversion {
  readonly keep: number;
  readonly plan: ConversionPlan;
}

/** Conversions of a model that has grouped attention. */
function conversionsOf(
  files: ModelFiles,
  { keep = DEFAULT_KEEP, method }: PlanFlags,
): readonly PlannedConversion[] {
  try {
    return keep.map((fraction) => ({
      keep: fraction,
      plan: planUpperBound(files, { method, keep: fraction }),
    }));
  } catch (error) {
    if (!ConversionError.isInstance(error)) throw error;
    if (error.code === "AlreadyLatent") return [];
    if (error.code === "InvalidOption") throw usage(error.message, error.context);
    throw error;
  }
}

const numbersOf = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1);

/** A way to run the model, or one of its conversions. */
export interface PlannedRow extends DeploymentRow {
  /** Part of the cache that the conversion keeps; absent for the model as it is. */
  readonly keep?: number;
}

/** What is planned for. */
export interface PlannedDescription {
  readonly family: string;
  readonly attention: "gqa" | "mla";
  readonly parameters: number;
  readonly weightBytes: number;
  readonly positions: number;
}

function describe({ config, tensorBytes }: PlannedModel): PlannedDescription {
  const tensors = modelTensors(config);
  return {
    family: config.family,
    attention: kindOf(config),
    parameters: tensors.reduce((sum, { shape }) => sum + numbersOf(shape), 0),
    weightBytes: tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0),
    positions: config.maxPositions,
  };
}

const kindOf = ({ layers }: ModelConfig) => layers[0]!.attention.kind;

/** What a conversion takes on this machine, which does it, whatever the target. */
export interface ConversionRow extends ConversionNeeds {
  readonly keep: number;
  readonly kvLoraRank: number;
  readonly ropeDim: number;
}

function needsOf(
  { compute: { threads } }: CommandContext,
  { samples, sequenceLength }: PlanFlags,
  keep: number,
  plan: ConversionPlan,
): ConversionRow {
  const { gemm } = assumedLimits(threads ?? availableParallelism());
  const needs = conversionNeeds(plan, { tokens: samples * sequenceLength, gemm });
  const { kvLoraRank, ropeDim } = plan.sizes;
  return { keep, kvLoraRank, ropeDim, ...needs };
}
