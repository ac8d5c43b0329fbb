import type { MixtureOfExperts } from "../device";
import { routeExperts, type ExpertShare } from "../routing";
import type { Pointer } from "./kernels";
import { multiply } from "./multiply";
import type { Panels } from "./packed-weight";
import { gatedActivation } from "./pointwise";
import type { Runtime } from "./runtime";

/** One token's share of an expert. */
interface Assignment {
  readonly token: number;
  readonly share: number;
}

export interface ExpertPanels {
  readonly gate: Panels;
  readonly up: Panels;
  readonly down: Panels;
}

/** Writes `[tokens, hidden]` to `to`: tokens are grouped by expert, so every chosen expert is read once. */
export function mixtureOfExperts(
  runtime: Runtime,
  { x: { shape }, topK, activation, routing }: MixtureOfExperts,
  ff: number,
  pointers: { readonly x: Pointer; readonly routerLogits: Pointer },
  experts: readonly ExpertPanels[],
  to: Pointer,
): void {
  const { memory } = runtime;
  const [tokens, hidden] = shape;
  const logits = memory.view(pointers.routerLogits, tokens * experts.length);
  const assignments = assign(logits, tokens, experts.length, (row) =>
    routing ? routeExperts(row, topK, routing) : largestLogits(row, topK),
  );
  memory.view(to, tokens * hidden).fill(0);
  memory.temporarily((allocate) => {
    const most = Math.max(...assignments.map((list) => list.length));
    const input = allocate(4 * most * hidden);
    const gate = allocate(4 * most * ff);
    const up = allocate(4 * most * ff);
    experts.forEach((expert, e) => {
      const list = assignments[e]!;
      if (list.length === 0) return;
      list.forEach(({ token }, i) => {
        const from = pointers.x + 4 * token * hidden;
        memory.bytes.copyWithin(input + 4 * i * hidden, from, from + 4 * hidden);
      });
      const x = { pointer: input, tokens: list.length };
      multiply(runtime, expert.gate, x, { pointer: gate });
      multiply(runtime, expert.up, x, { pointer: up });
      gatedActivation(runtime, gate, gate, up, list.length * ff, activation === "gelu-tanh");
      multiply(runtime, expert.down, { pointer: gate, tokens: list.length }, x);
      // A token chooses an expert once, so these rows are distinct.
      runtime.run(
        list.map(({ token, share }, i) => {
          return ["addScaled", to + 4 * token * hidden, input + 4 * i * hidden, share, hidden];
        }),
      );
    });
  });
}

/** The tokens of every expert. */
function assign(
  logits: Float32Array,
  tokens: number,
  experts: number,
  route: (logits: Float32Array) => readonly ExpertShare[],
): readonly Assignment[][] {
  const assignments: Assignment[][] = Array.from({ length: experts }, () => []);
  for (let token = 0; token < tokens; token++) {
    const row = logits.subarray(token * experts, (token + 1) * experts);
    for (const { index, share } of route(row)) assignments[index]!.push({ token, share });
  }
  return assignments;
}

/** Mixtral's choice: the largest logits and the softmax over them. */
function largestLogits(row: Float32Array, topK: number): ExpertShare[] {
  const chosen = largest(row, topK);
  const weights = chosen.map((e) => Math.exp(row[e]! - row[chosen[0]!]!));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return chosen.map((index, i) => ({ index, share: weights[i]! / sum }));
}

/** Indices of the `count` largest entries in descending order; of equals the first. */
function largest(row: Float32Array, count: number): number[] {
  const order = Array.from(row, (_, e) => e);
  order.sort((a, b) => row[b]! - row[a]! || a - b);
  return order.slice(0, count);
}
