import type { Block } from "../../runtime/buffer-pool";
import type { Gpu } from "../../runtime/gpu";
import { reads, writes } from "../../wgsl/kernel";
import { eachKernel, gridOfEach } from "../pointwise";
import type { Attention, SequenceTable, Unfinished } from "./attend";
import { SEQUENCE } from "./kernel";

/** Joins the splits of unfinished attention in a fixed order. Tokens of no sequence are left as they are. */
export function mergeSplits(
  gpu: Gpu,
  { tokens, heads, valueDim }: Attention,
  { sums, statistics }: Unfinished,
  table: SequenceTable,
  y: Block,
): void {
  const count = tokens * heads * valueDim;
  const make = () =>
    eachKernel({
      name: "merge splits",
      params: {
        table: "u32",
        sequences: "u32",
        tokens: "u32",
        heads: "u32",
        valueDim: "u32",
      },
      buffers: {
        sums: reads("f32"),
        statistics: reads("vec2<f32>"),
        y: writes("f32"),
        host: reads("u32"),
      },
      declarations: SEQUENCE,
      body: /* wgsl */ `
  let row = i / params.valueDim;
  let token = row / params.heads;
  let rows = params.tokens * params.heads;
  var splits = 0u;
  for (var s = 0u; s < params.sequences; s++) {
    let sequence = sequenceAt(s);
    if (token >= sequence.queryStart && token < sequence.queryStart + sequence.queryCount) { splits = sequence.splits; }
  }
  if (splits == 0u) { return; }
  var largest = statistics[row].x;
  for (var split = 1u; split < splits; split++) { largest = max(largest, statistics[split * rows + row].x); }
  var total = 0.0;
  var sum = 0.0;
  for (var split = 0u; split < splits; split++) {
    let known = statistics[split * rows + row];
    let scale = exp(known.x - largest);
    total += scale * known.y;
    sum += scale * sums[split * params.tokens * params.heads * params.valueDim + i];
  }
  y[i] = sum / total;`,
    });
  const params = [count, table.at, table.sequences, tokens, heads, valueDim];
  gpu.run("merge", make, params, [sums, statistics, y], gridOfEach(count));
}
