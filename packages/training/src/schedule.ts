import { TrainingError } from "./errors";

/** Learning rates by name, as factors on the highest, after the warm-up. */
export type ScheduleName = keyof typeof shapes;

export interface ScheduleOptions {
  readonly name?: ScheduleName | undefined;
  /** Steps in which the rate rises from nearly 0. */
  readonly warmup?: number | undefined;
  /** Part of the highest rate that the last step has (default 0.1). */
  readonly final?: number | undefined;
  /** Part of the steps in which `wsd` falls (default 0.2). */
  readonly decayPart?: number | undefined;
}

interface Point {
  /** Part of the steps after the warm-up that are over, 0 … 1. */
  readonly progress: number;
  readonly final: number;
  readonly decayPart: number;
}

const shapes = {
  constant: () => 1,
  /** Half a cosine (Loshchilov & Hutter, arXiv 1608.03983). */
  cosine: ({ progress, final }: Point) =>
    final + ((1 - final) * (1 + Math.cos(Math.PI * progress))) / 2,
  /** Warm-up, stable, decay (Hu et al., arXiv 2404.06395), falling in a straight line. */
  wsd: ({ progress, final, decayPart }: Point) =>
    1 - (1 - final) * Math.max(0, (progress - (1 - decayPart)) / decayPart),
} as const;

export const scheduleNames = Object.keys(shapes) as readonly ScheduleName[];

/**
 * The factor on the learning rate at a step, from 0 on, of `total`.
 *
 * @throws TrainingError `InvalidOption`
 */
export function schedule(
  total: number,
  { name = "cosine", warmup = 0, final = 0.1, decayPart = 0.2 }: ScheduleOptions = {},
): (step: number) => number {
  const part = (option: string, value: number, least: number) => {
    if (value >= least && value <= 1) return;
    throw new TrainingError("InvalidOption", `${option} must be from 0 to 1, got ${value}.`, {
      option,
      value,
    });
  };
  part("final", final, 0);
  part("decayPart", decayPart, Number.MIN_VALUE);
  if (!Number.isSafeInteger(warmup) || warmup < 0 || warmup >= Math.max(total, 1)) {
    throw new TrainingError(
      "InvalidOption",
      `warmup must be a whole number of steps below the ${total} of the run, got ${warmup}.`,
      { option: "warmup", value: warmup, total },
    );
  }
  return (step) => {
    if (step < warmup) return (step + 1) / (warmup + 1);
    const progress = (step - warmup) / Math.max(1, total - 1 - warmup);
    return shapes[name]({ progress, final, decayPart });
  };
}
