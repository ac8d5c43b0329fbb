import { conversionNeeds, planUpperBound, type ConversionNeeds } from "@transmla/conversion";
import {
  deploymentRows,
  deviceSheets,
  measureLimits,
  storedModel,
  targetNamed,
  writtenModel,
  type DeploymentRow,
  type Target,
} from "@transmla/evaluation";
import { assumedLimits } from "@transmla/kernels";
import type { CacheKind } from "../description";
import type { Operation } from "../operation";
import type { Workbench } from "../workbench";

/** The target that is measured, not looked up: this browser's device. */
export const HERE = "here";

/** What to plan for. */
export interface PlanChoice {
  /** `HERE`, or what `targetNamed` takes: `h100`, `h100x8`, … */
  readonly target: string;
  /** Tokens in the cache for batch, speed and prompt. */
  readonly cached: number;
  readonly cacheStorage: CacheKind;
  /** Parts of the cache to plan conversions to. */
  readonly keep: readonly number[];
}

export interface PlannedRow extends DeploymentRow {
  /** Of a model that is open, its name; of a conversion that could be made, the part of the cache. */
  readonly model: string | number;
}

/** What a conversion takes on this device, whatever the target. */
export interface ConversionRow extends ConversionNeeds {
  readonly keep: number;
  readonly kvLoraRank: number;
  readonly ropeDim: number;
}

export interface DeploymentPlan {
  readonly target: Target;
  /** Names of the targets there are. */
  readonly targets: readonly string[];
  readonly rows: readonly PlannedRow[];
  readonly conversions: readonly ConversionRow[];
}

/** Calibration tokens that conversions are planned with: as many as the page proposes. */
const CALIBRATION = 16_384;

/** Bytes that a browser's device can be expected to address: those of WebAssembly. */
const MEMORY_HERE = 2 ** 32;

/**
 * What the open models, and conversions of the original, need and can do on a target. No conversion is run.
 *
 * @throws EvaluationError for an unknown target; KernelsError where this device cannot be measured
 */
export const planDeployments: Operation<PlanChoice, DeploymentPlan> = async (bench, choice) => {
  const target = choice.target === HERE ? await thisDevice(bench) : targetNamed(choice.target);
  const { cached, cacheStorage } = choice;
  const setting = { target, cached, cacheStorage, sharing: "heads" } as const;
  const open = bench.filled.flatMap((place) => {
    const { name, files } = bench.at(place);
    return deploymentRows(storedModel(files), setting).map((row) => ({ ...row, model: name }));
  });
  const plans = bench.filled.includes("original") ? choice.keep.map(planOf(bench)) : [];
  const planned = plans.flatMap(({ keep, plan }) =>
    deploymentRows(writtenModel(plan), setting).map((row) => ({ ...row, model: keep })),
  );
  const { gemm } = assumedLimits(bench.report?.threads ?? 1);
  const conversions = plans.map(({ keep, plan }) => {
    const { kvLoraRank, ropeDim } = plan.sizes;
    return { keep, kvLoraRank, ropeDim, ...conversionNeeds(plan, { tokens: CALIBRATION, gemm }) };
  });
  const targets = [HERE, ...Object.keys(deviceSheets)];
  return { target, targets, rows: [...open, ...planned], conversions };
};

const planOf = (bench: Workbench) => (keep: number) => ({
  keep,
  plan: planUpperBound(bench.at("original").files, { method: "output-aware", keep }),
});

async function thisDevice(bench: Workbench): Promise<Target> {
  const { bandwidth, gemm } = await measureLimits(await bench.device());
  return { name: HERE, devices: 1, bandwidth, flops: gemm, memory: MEMORY_HERE };
}
