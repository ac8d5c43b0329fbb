import type { MixtureOfExperts, Routing } from "@transmla/kernels";
import type { Block } from "../runtime/buffer-pool";
import type { Gpu } from "../runtime/gpu";
import { SIGMOID } from "../wgsl/functions";
import { reads, writes } from "../wgsl/kernel";
import { multiply, productShape, type ListedRows, type ProductVariant } from "./linear";
import { eachKernel, gatedActivation, gridOfEach } from "./pointwise";
import type { GpuWeight } from "./weights";

export interface GpuExpert {
  readonly gate: GpuWeight;
  readonly up: GpuWeight;
  readonly down: GpuWeight;
}

/** Words of the grids of one expert, and where each begins: of its first products, the activation and its last product. */
const GRID_WORDS = 9;
const gridWord = { in: 0, activation: 3, out: 6 } as const;

/**
 * Writes `[tokens, hidden]` to `y`. The GPU chooses the experts, lists the tokens of each and sizes the products by the lists, so that
 * nothing is read back: an expert that no token has chosen costs no workgroup.
 */
export function mixtureOfExperts(
  gpu: Gpu,
  input: MixtureOfExperts,
  ff: number,
  blocks: { readonly x: Block; readonly routerLogits: Block },
  experts: readonly GpuExpert[],
  y: Block,
): void {
  const { topK, routing, activation } = input;
  const [tokens, hidden] = input.x.shape;
  const count = experts.length;
  gpu.recorder.clear(y, 4 * tokens * hidden);
  // Most experts get about this many rows, whatever the most is.
  const rows = Math.ceil((tokens * topK) / count);
  gpu.temporarily((take) => {
    const shares = take(4 * tokens * count);
    route(gpu, blocks.routerLogits, { tokens, experts: count, topK }, routing, shares);
    const lists = take(4 * (tokens + 1) * count);
    const grids = take(4 * GRID_WORDS * count);
    const shapeOf = ({ storage, shape }: GpuWeight, listed: "in" | "out") => {
      const variant: ProductVariant = { storage, aligned: shape[1] % 4 === 0, listed };
      return productShape(gpu, variant, rows);
    };
    const gate = take(4 * tokens * ff);
    const up = take(4 * tokens * ff);
    const inner = take(4 * tokens * ff);
    listTokens(gpu, { tokens, experts: count }, shares, lists, grids, {
      in: { ...shapeOf(experts[0]!.gate, "in"), outputs: ff },
      out: { ...shapeOf(experts[0]!.down, "out"), outputs: hidden },
    });
    experts.forEach((expert, e) => {
      const gridOf = (use: keyof typeof gridWord) => ({
        indirect: grids,
        offset: 4 * (GRID_WORDS * e + gridWord[use]),
      });
      const listed = (side: "in" | "out"): ListedRows => ({
        lists,
        tokens,
        expert: e,
        experts: count,
        side,
        grid: gridOf(side),
        ...(side === "out" ? { shares } : {}),
      });
      multiply(gpu, { x: blocks.x, rows, y: gate, weight: expert.gate, listed: listed("in") });
      multiply(gpu, { x: blocks.x, rows, y: up, weight: expert.up, listed: listed("in") });
      gatedActivation(gpu, gate, up, activation, inner, tokens * ff, gridOf("activation"));
      multiply(gpu, { x: inner, rows, y, weight: expert.down, listed: listed("out") });
    });
  });
}

interface Size {
  readonly tokens: number;
  readonly experts: number;
}

/** The share of every expert for every token, `[tokens, experts]`; zero of those that are not chosen. */
function route(
  gpu: Gpu,
  logits: Block,
  { tokens, experts, topK }: Size & { readonly topK: number },
  routing: Routing | undefined,
  shares: Block,
): void {
  const { groups = 1, topGroups = 1, bestOfGroup = 1, normalise = true, scale = 1 } = routing ?? {};
  const bias = routing?.bias ?? new Float32Array(experts);
  const scores = routing?.scores ?? "logits";
  gpu.temporarily((take) => {
    const biases = take(4 * experts);
    gpu.recorder.upload(biases, bias);
    const values = take(4 * tokens * experts);
    const choice = take(4 * tokens * experts);
    gpu.run(
      `route-scores/${scores}`,
      () => scoreKernel(scores),
      [tokens, experts],
      [logits, biases, values, choice],
      gridOfEach(tokens),
    );
    const chosen = take(4 * tokens * experts);
    gpu.run(
      `route-choose/${groups}`,
      () => choiceKernel(groups),
      [tokens * experts, experts, topK, topGroups, bestOfGroup],
      [values, choice, chosen],
      gridOfEach(tokens * experts),
    );
    gpu.run(
      "route-shares",
      shareKernel,
      [tokens, experts, normalise ? 1 : 0, scale],
      [chosen, shares],
      gridOfEach(tokens),
    );
  });
}

/** Per token: what shares are made of (`values`), and what experts are chosen by (`choice`). */
function scoreKernel(scores: Routing["scores"] | "logits") {
  const value = {
    sigmoid: "sigmoid(logit)",
    softmax: "exp(logit - largest) / sum",
    logits: "exp(logit - largest)",
  }[scores];
  return eachKernel({
    name: `route scores ${scores}`,
    params: { experts: "u32" },
    buffers: {
      logits: reads("f32"),
      biases: reads("f32"),
      values: writes("f32"),
      choice: writes("f32"),
    },
    declarations: SIGMOID,
    body: /* wgsl */ `
  let start = i * params.experts;
  var largest = logits[start];
  for (var e = 1u; e < params.experts; e++) { largest = max(largest, logits[start + e]); }
  var sum = 0.0;
  for (var e = 0u; e < params.experts; e++) { sum += exp(logits[start + e] - largest); }
  for (var e = 0u; e < params.experts; e++) {
    let logit = logits[start + e];
    let value = ${value};
    values[start + e] = value;
    choice[start + e] = ${scores === "logits" ? "logit" : "value"} + biases[e];
  }`,
  });
}

/** Per token and expert: its value if fewer than topK experts of the best groups are better, else -1. */
function choiceKernel(groups: number) {
  return eachKernel({
    name: `route choice, ${groups} groups`,
    params: { experts: "u32", topK: "u32", topGroups: "u32", bestOfGroup: "u32" },
    buffers: { values: reads("f32"), choice: reads("f32"), chosen: writes("f32") },
    declarations: /* wgsl */ `
/** Whether score a of index i comes before score b of index j. */
fn isBetter(a: f32, i: u32, b: f32, j: u32) -> bool { return a > b || (a == b && i < j); }
/** Sum of the best scores of a group. */
fn worthOf(first: u32, size: u32) -> f32 {
  var sum = 0.0;
  var last = 0.0;
  var lastAt = 0u;
  for (var n = 0u; n < params.bestOfGroup; n++) {
    var best = 0.0;
    var bestAt = 0xffffffffu;
    for (var e = first; e < first + size; e++) {
      let score = choice[e];
      let left = n == 0u || isBetter(last, lastAt, score, e);
      if (left && (bestAt == 0xffffffffu || isBetter(score, e, best, bestAt))) { best = score; bestAt = e; }
    }
    sum += best;
    last = best;
    lastAt = bestAt;
  }
  return sum;
}`,
    body: /* wgsl */ `
  let start = i / params.experts * params.experts;
  let size = params.experts / ${groups}u;
  var worth = array<f32, ${groups}>();
  for (var g = 0u; g < ${groups}u; g++) { worth[g] = worthOf(start + g * size, size); }
  let group = (i - start) / size;
  var better = 0u;
  for (var g = 0u; g < ${groups}u; g++) {
    var groupsBefore = 0u;
    for (var h = 0u; h < ${groups}u; h++) {
      if (isBetter(worth[h], h, worth[g], g)) { groupsBefore += 1u; }
    }
    let taking = groupsBefore < params.topGroups;
    if (g == group && !taking) { better = params.topK; }
    for (var e = start + g * size; taking && e < start + (g + 1u) * size; e++) {
      if (isBetter(choice[e], e, choice[i], i)) { better += 1u; }
    }
  }
  chosen[i] = select(-1.0, values[i], better < params.topK);`,
  });
}

/** Per token: values of the chosen, divided by their sum where that is wanted. */
function shareKernel() {
  return eachKernel({
    name: "route shares",
    params: { experts: "u32", normalise: "u32", scale: "f32" },
    buffers: { chosen: reads("f32"), shares: writes("f32") },
    body: /* wgsl */ `
  let start = i * params.experts;
  var sum = 0.0;
  for (var e = 0u; e < params.experts; e++) { sum += max(0.0, chosen[start + e]); }
  let divisor = select(1.0, sum, params.normalise == 1u);
  for (var e = 0u; e < params.experts; e++) {
    // A share of -1 marks experts that are not chosen; one that is chosen may have none.
    let value = chosen[start + e];
    shares[start + e] = select(params.scale * value / divisor, -1.0, value < 0.0);
  }`,
  });
}

/** What one workgroup of a product makes, and how much there is to make. */
interface ListedShape {
  readonly tileRows: number;
  readonly tileOutputs: number;
  readonly outputs: number;
}

/** Per expert: the tokens that chose it, and the grids of its products. */
function listTokens(
  gpu: Gpu,
  { tokens, experts }: Size,
  shares: Block,
  lists: Block,
  grids: Block,
  shapes: { readonly in: ListedShape; readonly out: ListedShape },
): void {
  const make = () =>
    eachKernel({
      name: "list tokens",
      params: {
        tokens: "u32",
        tilesIn: "u32",
        rowsIn: "u32",
        tilesOut: "u32",
        rowsOut: "u32",
        ff: "u32",
      },
      buffers: { shares: reads("f32"), lists: writes("u32"), grids: writes("u32") },
      body: /* wgsl */ `
  let start = i * (params.tokens + 1u);
  var rows = 0u;
  for (var t = 0u; t < params.tokens; t++) {
    if (shares[t * params.count + i] >= 0.0) { rows += 1u; lists[start + rows] = t; }
  }
  lists[start] = rows;
  let at = i * ${GRID_WORDS}u;
  grids[at] = params.tilesIn;
  grids[at + 1u] = (rows + params.rowsIn - 1u) / params.rowsIn;
  grids[at + 2u] = 1u;
  let activations = (rows * params.ff + 255u) / 256u;
  grids[at + 3u] = min(activations, 65535u);
  grids[at + 4u] = (activations + 65534u) / 65535u;
  grids[at + 5u] = 1u;
  grids[at + 6u] = params.tilesOut;
  grids[at + 7u] = (rows + params.rowsOut - 1u) / params.rowsOut;
  grids[at + 8u] = 1u;`,
    });
  const tiles = ({ outputs, tileOutputs }: ListedShape) => Math.ceil(outputs / tileOutputs);
  gpu.run(
    "list-tokens",
    make,
    [
      experts,
      tokens,
      tiles(shapes.in),
      shapes.in.tileRows,
      tiles(shapes.out),
      shapes.out.tileRows,
      shapes.in.outputs,
    ],
    [shares, lists, grids],
    gridOfEach(experts),
  );
}
