import { deviceKit, type MixtureOfExperts } from "@transmla/kernels";
import { discard, toHost, type GpuQueue, type Handle } from "./gpu-queue";

export interface ExpertHandles {
  readonly gate: Handle;
  readonly up: Handle;
  readonly down: Handle;
}

/** Experts are chosen on the host, which waits for the router's logits; each chosen expert runs over its tokens alone. */
export async function mixtureOfExperts(
  queue: GpuQueue,
  { x: { shape }, topK, activation, routing }: MixtureOfExperts,
  ff: number,
  handles: { readonly x: Handle; readonly routerLogits: Handle },
  experts: readonly ExpertHandles[],
): Promise<Handle> {
  const [tokens, hidden] = shape;
  const logits = await toHost(handles.routerLogits, [tokens, experts.length]);
  const shares = Array.from({ length: tokens }, (_, t) => {
    const row = logits.subarray(t * experts.length, (t + 1) * experts.length);
    return routing ? deviceKit.routeExperts(row, topK, routing) : deviceKit.route(row, topK);
  });
  let y = await queue.upload(new Float32Array(tokens * hidden), shape);
  for (const [e, { gate, up, down }] of experts.entries()) {
    const source = new Float32Array(tokens).fill(-1);
    const share = new Float32Array(tokens);
    const chosen: number[] = [];
    shares.forEach((list, t) => {
      const own = list.find(({ index }) => index === e);
      if (!own) return;
      source[t] = chosen.push(t) - 1;
      share[t] = own.share;
    });
    if (chosen.length === 0) continue;
    const rows = chosen.length;
    const input = await queue.run("pick", [rows, hidden], [handles.x, Float32Array.from(chosen)]);
    const product = (from: Handle, weight: Handle, inputs: number, outputs: number) =>
      queue.run("linear", [rows, outputs], [from, weight, Float32Array.of(inputs)]);
    const gates = await product(input, gate, hidden, ff);
    const ups = await product(input, up, hidden, ff);
    const inner = await queue.run(activation, [rows, ff], [gates, ups]);
    const output = await product(inner, down, ff, hidden);
    const sum = await queue.run("addShares", shape, [y, output, source, share]);
    [input, gates, ups, inner, output, y].forEach(discard);
    y = sum;
  }
  return y;
}
