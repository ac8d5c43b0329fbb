import type { Tensor } from "@transmla/kernels";
import type { CacheSequence, PagedCache } from "@transmla/latent-cache";
import type { Model, ModelStep } from "@transmla/models";
import type { Choice } from "./choice";
import type { Run } from "./run";

/** A sequence's part in a step: a piece of a prompt, or the last token of a choice with guesses of what follows. */
export interface Part extends ModelStep {
  readonly run: Run;
  readonly sequence: CacheSequence;
  /** Absent for a piece of a prompt. */
  readonly choice?: Choice | undefined;
  readonly outputs: number;
}

/** What a step may hold. */
export interface StepLimits {
  readonly stepTokens: number;
  /** Guesses per choice. */
  readonly draftTokens: number;
  /** Tokens that a sequence can take: at least one. */
  readonly roomOf: (sequence: CacheSequence) => number;
}

/**
 * The parts of the next step: one token of every choice, and prompts, the oldest first, as far as `stepTokens` reach. Prompts
 * get at least a quarter of it, so that many choices cannot keep a new request waiting for ever.
 */
export async function planStep(runs: readonly Run[], limits: StepLimits): Promise<Part[]> {
  const { stepTokens, roomOf } = limits;
  const parts: Part[] = [];
  for (const run of runs) {
    for (const choice of run.choices) parts.push(await choicePart(run, choice, limits));
  }
  const decoding = parts.reduce((sum, { tokens }) => sum + tokens.length, 0);
  let budget = Math.max(stepTokens - decoding, Math.ceil(stepTokens / 4));
  for (const run of runs) {
    const left = run.promptLeft;
    if (!left || budget === 0) continue;
    const tokens = left.tokens.subarray(0, Math.min(budget, roomOf(left.sequence)));
    parts.push({ run, sequence: left.sequence, tokens, outputs: 1 });
    budget -= tokens.length;
  }
  return parts;
}

async function choicePart(
  run: Run,
  choice: Choice,
  { draftTokens, roomOf }: StepLimits,
): Promise<Part> {
  const { sequence, drafts, tokens: all } = choice;
  const last = all.subarray(-1);
  // The last token that may be made needs no guess behind it.
  const most = Math.min(draftTokens, choice.left - 1, roomOf(sequence) - 1);
  const guesses = drafts && most > 0 ? await drafts.propose(all, most) : undefined;
  const tokens = guesses?.length ? Int32Array.of(...last, ...guesses.subarray(0, most)) : last;
  return { run, choice, sequence, tokens, outputs: tokens.length };
}

/** Logits of the outputs of all parts, in order: the most probable tokens, and rows where somebody needs them. */
export interface StepLogits {
  /** `[outputs]`; absent where all rows were read. */
  readonly argmax?: Float32Array | undefined;
  /** `[outputs, vocab]`; absent where nobody needs them. */
  readonly rows?: Float32Array | undefined;
}

/** Runs a step. Results do not depend on what else is in it: see decision 0015. Throws what `Model.forward` throws. */
export async function runStep(
  model: Model,
  cache: PagedCache,
  parts: readonly Part[],
  chosenByDevice: boolean,
): Promise<StepLogits> {
  const { device } = model;
  const logits = model.forward(cache, parts, "last", "absorbed");
  let best: Tensor | undefined;
  try {
    if (!chosenByDevice) return { rows: await device.read(logits) };
    best = device.argmax(logits);
    return { argmax: await device.read(best) };
  } finally {
    device.release(logits);
    if (best) device.release(best);
  }
}
