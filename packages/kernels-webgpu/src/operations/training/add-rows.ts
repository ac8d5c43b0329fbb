import type { Block } from "../../runtime/buffer-pool";
import type { Gpu } from "../../runtime/gpu";
import { reads, writes } from "../../wgsl/kernel";
import { eachKernel, gridOfEach } from "../pointwise";

/** Rows of `x` by the row of the target that they are added to. */
interface RowLists {
  /** Rows of the target, each once. */
  readonly targets: Int32Array;
  /** Where the list of each target begins, and where the last ends. */
  readonly starts: Int32Array;
  /** The lists one after the other, each in rising order. */
  readonly members: Int32Array;
}

function listRows(rows: Int32Array): RowLists {
  const members = Int32Array.from(rows.keys()).toSorted((a, b) => rows[a]! - rows[b]! || a - b);
  const places = Int32Array.from(members.keys());
  const first = places.filter((i) => i === 0 || rows[members[i]!] !== rows[members[i - 1]!]);
  const starts = new Int32Array(first.length + 1).fill(members.length);
  starts.set(first);
  return { targets: first.map((i) => rows[members[i]!]!), starts, members };
}

/** `to[rows[t]] += factor * x[t]`: an invocation adds up everything that goes to one number, in the order of `t`. */
export function addRows(
  gpu: Gpu,
  to: Block,
  rows: Int32Array,
  x: Block,
  columns: number,
  factor: number,
): void {
  const { targets, starts, members } = listRows(rows);
  const { recorder } = gpu;
  recorder.prepare(targets.length + starts.length + members.length, 3);
  const places = [targets, starts, members].map((list) => recorder.integers(list));
  const make = () =>
    eachKernel({
      name: "add rows",
      params: { targets: "u32", starts: "u32", members: "u32", columns: "u32", factor: "f32" },
      buffers: { x: reads("f32"), host: reads("u32"), to: writes("f32") },
      body: /* wgsl */ `
  let list = i / params.columns;
  let column = i % params.columns;
  let at = host[params.targets + list] * params.columns + column;
  var sum = to[at];
  for (var m = host[params.starts + list]; m < host[params.starts + list + 1u]; m++) {
    sum = fma(params.factor, x[host[params.members + m] * params.columns + column], sum);
  }
  to[at] = sum;`,
    });
  const count = targets.length * columns;
  gpu.run("add-rows", make, [count, ...places, columns, factor], [x, to], gridOfEach(count));
}
