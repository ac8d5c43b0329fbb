import { KernelsError } from "./errors";

/**
 * How a token chooses its experts as DeepSeek-V2 and V3 do (arXiv 2405.04434, 2412.19437): experts have scores, the best groups of experts
 * take part, and of these the `topK` best.
 */
export interface Routing {
  /** Every expert's score from its logit alone, or from the softmax over all experts. */
  readonly scores: "sigmoid" | "softmax";
  /** Added to the scores for the choice only, `[experts]`. */
  readonly bias?: Float32Array | undefined;
  /** Experts are divided into so many groups of neighbours … */
  readonly groups: number;
  /** … of which so many take part … */
  readonly topGroups: number;
  /** … those with the largest sum of so many best scores. */
  readonly bestOfGroup: number;
  /** The chosen scores are divided by their sum. */
  readonly normalise: boolean;
  /** Factor on all shares. */
  readonly scale: number;
}

/** An expert and the weight of its output. */
export interface ExpertShare {
  readonly index: number;
  readonly share: number;
}

/** The experts of one token; among equals the lower index. @param logits `[experts]` */
export function routeExperts(
  logits: ArrayLike<number>,
  topK: number,
  routing: Routing,
): ExpertShare[] {
  const scores = scoresOf(Float64Array.from(logits), routing.scores);
  const { bias, groups, topGroups, bestOfGroup, normalise, scale } = routing;
  const choice = bias ? scores.map((score, e) => score + bias[e]!) : scores;
  const size = scores.length / groups;
  const worth = (group: number) =>
    choice
      .slice(group * size, (group + 1) * size)
      .toSorted()
      .slice(-bestOfGroup)
      .reduce((sum, score) => sum + score, 0);
  const taking = new Set(
    best(Array.from({ length: groups }, (_, g) => worth(g))).slice(0, topGroups),
  );
  const chosen = best(choice)
    .filter((e) => taking.has(Math.floor(e / size)))
    .slice(0, topK);
  const sum = normalise ? chosen.reduce((total, e) => total + scores[e]!, 0) : 1;
  return chosen.map((index) => ({ index, share: (scale * scores[index]!) / sum }));
}

function scoresOf(logits: Float64Array, kind: Routing["scores"]): Float64Array {
  if (kind === "sigmoid") return logits.map((logit) => 1 / (1 + Math.exp(-logit)));
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const powers = logits.map((logit) => Math.exp(logit - largest));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

/** Indices from the largest value to the smallest; of equals the first. */
function best(values: ArrayLike<number>): number[] {
  return Array.from(values, (_, index) => index).toSorted(
    (a, b) => values[b]! - values[a]! || a - b,
  );
}

/** Refuses a routing that chooses no `topK` experts. @throws KernelsError `InvalidArgument` */
export function checkRouting(routing: Routing, experts: number, topK: number): void {
  const { bias, groups, topGroups, bestOfGroup } = routing;
  const size = experts / groups;
  const whole = [groups, topGroups, bestOfGroup, size].every(
    (n) => Number.isSafeInteger(n) && n >= 1,
  );
  const fits = whole && topGroups <= groups && bestOfGroup <= size && topK <= topGroups * size;
  if (fits && (bias === undefined || bias.length === experts)) return;
  throw new KernelsError(
    "InvalidArgument",
    `The routing cannot choose ${topK} of ${experts} experts: ${groups} groups, of which ${topGroups} take part by their best ` +
      `${bestOfGroup}; bias of ${bias?.length ?? "no"} experts.`,
    { topK, experts, groups, topGroups, bestOfGroup },
  );
}
