import { availableParallelism, totalmem } from "node:os";
import {
  conversionNeeds,
  ConversionError,
  methods,
  planConversion,
  type ConversionNeeds,
  type ConversionPlan,
  type MethodName,
} from "@transmla/conversion";
import {
  attentionLoad,
  Deployment,
  deviceSheets,
  measureLimits,
  targetNamed,
  waysOf,
  type DecodeStep,
  type DecodeWay,
  type PlannedModel,
  type Sharing,
  type Target,
} from "@transmla/evaluation";
import { assumedLimits, deviceKit, type CacheStorage } from "@transmla/kernels";
import {
  modelTensors,
  type ModelConfig,
  type ModelFiles,
  type TensorSpec,
  type WeightPrecision,
} from "@transmla/models";
import { storageBlock } from "@transmla/tensor-io";
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
      const setting: Setting = {
        target,
        cached,
        cacheStorage,
        batch: values.batch,
        sharing: values.share,
      };
      const precision = context.storage.weights ?? "stored";
      const rows = [
        ...rowsOf(storedModel(files, precision), setting, undefined),
        ...conversions.flatMap(({ keep, plan }) =>
          rowsOf(convertedModel(plan, precision), setting, keep),
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
    return keep.map((fraction) => ({ keep: fraction, plan: planned(files, method, fraction) }));
  } catch (error) {
    if (!ConversionError.isInstance(error)) throw error;
    if (error.code === "AlreadyLatent") return [];
    if (error.code === "InvalidOption") throw usage(error.message, error.context);
    throw error;
  }
}

/** Of the rotated parts that calibration may choose, the smallest: it takes most arithmetic. */
function planned(files: ModelFiles, method: MethodName, keep: number): ConversionPlan {
  const plan = planConversion(files, { method, keep });
  const { ropeDimCandidates, ropeDim, kvLoraRank } = plan.sizes;
  if (ropeDimCandidates === undefined) return plan;
  const smallest = Math.min(...ropeDimCandidates);
  const sizes = { ropeDim: smallest, kvLoraRank: kvLoraRank + ropeDim - smallest };
  return planConversion(files, { method, ...sizes });
}

function storedModel({ config, checkpoint }: ModelFiles, precision: WeightPrecision): PlannedModel {
  const stored = ({ name }: TensorSpec) => checkpoint.tensors.get(name)!.byteLength;
  return { config, tensorBytes: inPrecision(stored, precision) };
}

function convertedModel({ config, tensors }: ConversionPlan, precision: WeightPrecision) {
  const types = new Map(tensors.map(({ name, dtype }) => [name, dtype]));
  const written = ({ name, shape }: TensorSpec) => {
    const { elements, bytes } = storageBlock(types.get(name)!);
    return (numbersOf(shape) / elements) * bytes;
  };
  return { config, tensorBytes: inPrecision(written, precision) };
}

function inPrecision(
  stored: (tensor: TensorSpec) => number,
  precision: WeightPrecision,
): (tensor: TensorSpec) => number {
  if (precision === "stored") return stored;
  return (tensor) => {
    const [rows = 0, columns] = tensor.shape;
    return columns === undefined ? stored(tensor) : rows * deviceKit.rowBytes(precision, columns);
  };
}

const numbersOf = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1);

/** What all rows share. */
interface Setting {
  readonly target: Target;
  readonly cached: number;
  readonly cacheStorage: CacheStorage;
  readonly batch: number | undefined;
  readonly sharing: Sharing;
}

/** One way to run one model on the target. */
export interface DeploymentRow {
  /** Part of the cache that the conversion keeps; absent for the model as it is. */
  readonly keep?: number;
  readonly way: DecodeWay;
  readonly kvLoraRank?: number;
  readonly ropeDim?: number;
  readonly cacheNumbersPerToken: number;
  /** On each device that has the sequence. */
  readonly cacheBytesPerToken: number;
  /** Of weights on each device. */
  readonly weightBytes: number;
  readonly fits: boolean;
  /** Null where windows bound the cache. */
  readonly longestContext: number | null;
  readonly largestBatch: number;
  /** One sequence, and all of the batch; null where it does not fit. */
  readonly single: DecodeStep | null;
  readonly batched: (DecodeStep & { readonly batch: number }) | null;
  readonly promptSeconds: number | null;
}

function rowsOf(
  model: PlannedModel,
  setting: Setting,
  keep: number | undefined,
): readonly DeploymentRow[] {
  const { attention } = model.config.layers[0]!;
  return waysOf(attention).map((way) => ({
    ...(keep !== undefined && { keep }),
    ...(attention.kind === "mla" && {
      kvLoraRank: attention.kvLoraRank,
      ropeDim: attention.ropeDim,
    }),
    ...rowOf(model, setting, way),
  }));
}

function rowOf(model: PlannedModel, setting: Setting, way: DecodeWay): DeploymentRow {
  const { target, cached, cacheStorage, sharing } = setting;
  const rowBytes = (width: number) => deviceKit.rowBytes(cacheStorage, width);
  const deployment = new Deployment(model, target, { way, sharing, rowBytes });
  const { longestContext } = deployment;
  const largestBatch = deployment.largestBatch(cached);
  const batch = setting.batch ?? largestBatch;
  const fits = largestBatch >= 1;
  const together = fits && batch <= largestBatch;
  return {
    way,
    cacheNumbersPerToken: cachedNumbers(model.config, way),
    cacheBytesPerToken: deployment.cacheBytes(1),
    weightBytes: deployment.weightBytes,
    fits,
    longestContext: Number.isFinite(longestContext) ? longestContext : null,
    largestBatch,
    single: fits ? deployment.decode(1, cached) : null,
    batched: together ? { batch, ...deployment.decode(batch, cached) } : null,
    promptSeconds: fits ? deployment.promptSeconds(cached) : null,
  };
}

/** Numbers per token of all layers, on all devices together if each number is kept once. */
function cachedNumbers({ layers }: ModelConfig, way: DecodeWay): number {
  return layers.reduce((sum, { attention }) => {
    const { planes } = attentionLoad(attention, way, "heads", 1);
    return sum + planes.reduce((width, more) => width + more, 0);
  }, 0);
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
  { threads }: CommandContext,
  { samples, sequenceLength }: PlanFlags,
  keep: number,
  plan: ConversionPlan,
): ConversionRow {
  const { gemm } = assumedLimits(threads ?? availableParallelism());
  const needs = conversionNeeds(plan, { tokens: samples * sequenceLength, gemm });
  const { kvLoraRank, ropeDim } = plan.sizes;
  return { keep, kvLoraRank, ropeDim, ...needs };
}
