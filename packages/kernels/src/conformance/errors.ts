import { test } from "vitest";
import type { Activation, AttentionWay, Device, Expert, WeightStorage } from "../device";
import { ropeTable } from "../rope-table";
import type { Routing } from "../routing";
import { expectClose, expectCode, tensorOf, weightOf, type Subject } from "./expectations";

const ids = (...values: number[]) => Int32Array.from(values);
const zeros = (device: Device, rows: number, columns: number) =>
  device.tensor(new Float32Array(rows * columns), [rows, columns]);

/** Every refusal beside a valid twin, so that a device cannot pass by refusing everything. */
export function errorTests(subject: Subject): void {
  test("memory", async () => {
    const { device } = subject;
    const two = new Float32Array(2);
    for (const shape of [
      [0, 2],
      [2, 0],
      [-1, -2],
      [1.5, 2],
      [NaN, 1],
    ] as const) {
      expectCode("InvalidArgument", () => device.tensor(two, shape));
      expectCode("InvalidArgument", () => device.weight(shape, "f32"));
      expectCode("InvalidArgument", () =>
        device.pagePool({ pages: shape[0], pageTokens: 8, width: shape[1] }),
      );
    }
    expectCode("InvalidArgument", () => device.pagePool({ pages: 1, pageTokens: 0, width: 1 }));
    expectCode("ShapeMismatch", () => device.tensor(two, [1, 3]));
    expectCode("UnsupportedStorage", () => device.weight([1, 1], "f8" as WeightStorage));
    expectCode("ShapeMismatch", () => device.weight([1, 48], "q8_0"));
    expectCode("ShapeMismatch", () => device.weight([1, 128], "q4_k"));
    expectCode("ShapeMismatch", () => {
      device.writeRows(device.weight([2, 32], "q4_0"), 0, new Uint8Array(19));
    });

    const weight = device.weight([3, 2], "bf16");
    expectCode("ShapeMismatch", () => device.writeRows(weight, 0, new Uint8Array(5)));
    expectCode("ShapeMismatch", () => device.writeRows(weight, 0, new Uint8Array(16)));
    expectCode("ShapeMismatch", () => device.writeRows(weight, 2, new Uint8Array(8)));
    expectCode("ShapeMismatch", () => device.writeRows(weight, -1, new Uint8Array(4)));
    device.writeRows(weight, 1, new Uint8Array(8));
    await expectClose(subject, device.tensor(two, [1, 2]), [1, 2], [0, 0]);
  });

  test("rows and indices", () => {
    const { device } = subject;
    const table = weightOf(device, [
      [1, 2],
      [3, 4],
    ]);
    const x = zeros(device, 3, 2);
    expectCode("IndexOutOfRange", () => device.embedding(table, ids(0, 2)));
    expectCode("IndexOutOfRange", () => device.embedding(table, ids(-1)));
    expectCode("InvalidArgument", () => device.embedding(table, ids()));
    expectCode("InvalidArgument", () => device.embedding(table, ids(1), NaN));
    device.embedding(table, ids(1, 0), 0.5);
    expectCode("IndexOutOfRange", () => device.gatherRows(x, ids(3)));
    expectCode("InvalidArgument", () => device.gatherRows(x, ids()));
    device.gatherRows(x, ids(2));
    const pool = device.pagePool({ pages: 2, pageTokens: 2, width: 2 });
    expectCode("IndexOutOfRange", () => device.writePages(pool, x, ids(0, 1, 4)));
    expectCode("IndexOutOfRange", () => device.writePages(pool, x, ids(0, 1, -1)));
    expectCode("ShapeMismatch", () => device.writePages(pool, x, ids(0, 1)));
    expectCode("ShapeMismatch", () => device.writePages(pool, zeros(device, 1, 3), ids(0)));
    device.writePages(pool, x, ids(3, 0, 1));
    expectCode("IndexOutOfRange", () => device.readPages(pool, ids(4)));
    expectCode("InvalidArgument", () => device.readPages(pool, ids()));
    device.readPages(pool, ids(3));
  });

  test("linear, add, norm, activation, rope", () => {
    const { device } = subject;
    const weight = weightOf(device, [[1, 2]]);
    const x = zeros(device, 2, 2);
    expectCode("ShapeMismatch", () => device.linear(zeros(device, 2, 3), weight));
    expectCode("ShapeMismatch", () => device.linear(x, weight, zeros(device, 1, 2)));
    expectCode("ShapeMismatch", () => device.linear(x, weight, zeros(device, 2, 1)));
    device.linear(x, weight, zeros(device, 1, 1));
    expectCode("ShapeMismatch", () => device.add(x, zeros(device, 1, 2)));
    expectCode("ShapeMismatch", () => device.rmsNorm(x, zeros(device, 1, 3), 0));
    expectCode("ShapeMismatch", () => device.rmsNorm(x, zeros(device, 2, 1), 0));
    expectCode("InvalidArgument", () => device.rmsNorm(x, zeros(device, 1, 2), -1));
    expectCode("InvalidArgument", () => device.rmsNorm(x, zeros(device, 1, 2), NaN));
    device.rmsNorm(x, zeros(device, 1, 1), 1e-6);
    expectCode("ShapeMismatch", () => device.gatedActivation(x, zeros(device, 2, 1), "silu"));
    expectCode("InvalidArgument", () => device.gatedActivation(x, x, "relu" as Activation));
    device.gatedActivation(x, x, "silu");
    expectCode("InvalidArgument", () => device.softCap(x, 0));
    expectCode("InvalidArgument", () => device.softCap(x, NaN));
    device.softCap(x, 30);
    const table = ropeTable(device, [1], 4);
    expectCode("IndexOutOfRange", () => device.rope(x, table, ids(0, 4)));
    expectCode("IndexOutOfRange", () => device.rope(x, table, ids(0, -1)));
    expectCode("ShapeMismatch", () => device.rope(x, table, ids(0)));
    expectCode("ShapeMismatch", () => device.rope(zeros(device, 2, 3), table, ids(0, 1)));
    expectCode("ShapeMismatch", () =>
      device.rope(x, { ...table, sin: zeros(device, 3, 1) }, ids(0, 1)),
    );
    device.rope(x, table, ids(3, 3));
  });

  test("grouped attention", () => {
    const { device } = subject;
    const pool = (pages: number, pageTokens: number, width: number) =>
      device.pagePool({ pages, pageTokens, width });
    const sequence = { queryStart: 0, queryCount: 2, length: 5, pages: ids(0, 2) };
    const valid = {
      query: zeros(device, 3, 8),
      keys: pool(3, 4, 4),
      values: pool(3, 4, 6),
      heads: 4,
      kvHeads: 2,
      scale: 1,
      sequences: [sequence],
    };
    const refused = (
      code: Parameters<typeof expectCode>[0],
      change: Partial<typeof valid> & { window?: number; softCap?: number },
    ) => expectCode(code, () => device.groupedAttention({ ...valid, ...change }));
    const refusedSequence = (
      code: Parameters<typeof expectCode>[0],
      change: Partial<typeof sequence>,
    ) => refused(code, { sequences: [{ ...sequence, ...change }] });

    device.groupedAttention(valid);
    refused("InvalidArgument", { heads: 0 });
    refused("InvalidArgument", { kvHeads: 3 });
    refused("InvalidArgument", { kvHeads: 0 });
    refused("ShapeMismatch", { query: zeros(device, 3, 9) });
    refused("ShapeMismatch", { keys: pool(3, 4, 6) });
    refused("ShapeMismatch", { values: pool(3, 4, 5) });
    refused("ShapeMismatch", { values: pool(3, 8, 6) });
    refused("ShapeMismatch", { values: pool(2, 4, 6) });
    refused("InvalidArgument", { scale: NaN });
    refused("InvalidArgument", { window: 0 });
    refused("InvalidArgument", { window: 2.5 });
    refused("InvalidArgument", { softCap: 0 });
    refused("InvalidArgument", { softCap: Infinity });
    device.groupedAttention({ ...valid, softCap: 50 });
    refusedSequence("InvalidArgument", { queryCount: 0 });
    refusedSequence("IndexOutOfRange", { queryStart: 2 });
    refusedSequence("IndexOutOfRange", { queryStart: -1 });
    refusedSequence("InvalidArgument", { length: 1 });
    refusedSequence("InvalidArgument", { length: 4.5 });
    refusedSequence("ShapeMismatch", { length: 9 });
    refusedSequence("IndexOutOfRange", { pages: ids(0, 3) });
    refusedSequence("IndexOutOfRange", { pages: ids(-1, 0) });
    refused("InvalidArgument", { sequences: [sequence, { ...sequence, queryStart: 1 }] });
  });

  test("latent attention", () => {
    const { device } = subject;
    const pool = (pages: number, width: number) => device.pagePool({ pages, pageTokens: 4, width });
    const up = (rows: number, columns: number) => device.weight([rows, columns], "f32");
    const valid = {
      queryNope: zeros(device, 2, 12),
      queryRope: zeros(device, 2, 8),
      latents: pool(2, 5),
      ropeKeys: pool(2, 2),
      keyUp: up(6, 5),
      keyUpHeads: 2,
      valueUp: up(12, 5),
      valueUpHeads: 4,
      heads: 4,
      scale: 1,
      sequences: [{ queryStart: 0, queryCount: 2, length: 5, pages: ids(0, 1) }],
    };
    type Change = { [Key in keyof typeof valid]?: (typeof valid)[Key] | undefined };
    const refused = (
      code: Parameters<typeof expectCode>[0],
      change: Change & { window?: number; softCap?: number; way?: AttentionWay },
    ) =>
      expectCode(code, () =>
        device.latentAttention({ ...valid, ...change } as Parameters<Device["latentAttention"]>[0]),
      );

    device.latentAttention(valid);
    refused("InvalidArgument", { queryNope: undefined, queryRope: undefined });
    refused("InvalidArgument", { queryNope: undefined });
    refused("InvalidArgument", { queryRope: undefined });
    refused("InvalidArgument", { ropeKeys: undefined });
    refused("InvalidArgument", { keyUpHeads: undefined });
    refused("InvalidArgument", { valueUp: undefined });
    refused("InvalidArgument", { keyUpHeads: 3 });
    refused("InvalidArgument", { heads: 0 });
    refused("InvalidArgument", { way: "sideways" as AttentionWay });
    refused("InvalidArgument", { window: 0 });
    refused("InvalidArgument", { softCap: -1 });
    refused("ShapeMismatch", { queryNope: zeros(device, 2, 13) });
    refused("ShapeMismatch", { queryNope: zeros(device, 2, 8) });
    refused("ShapeMismatch", { queryRope: zeros(device, 1, 8) });
    refused("ShapeMismatch", { queryRope: zeros(device, 2, 4) });
    refused("ShapeMismatch", { ropeKeys: pool(3, 2) });
    refused("ShapeMismatch", { keyUp: up(6, 4) });
    refused("ShapeMismatch", { keyUp: up(8, 5) });
    refused("ShapeMismatch", { keyUp: undefined, keyUpHeads: undefined });
    refused("ShapeMismatch", { valueUp: up(13, 5) });
    refused("ShapeMismatch", { valueUp: up(12, 6) });
  });

  test("mixture of experts", () => {
    const { device } = subject;
    const up = (rows: number, columns: number) => device.weight([rows, columns], "f32");
    const expert: Expert = { gate: up(3, 2), up: up(3, 2), down: up(2, 3) };
    const valid = {
      x: zeros(device, 2, 2),
      routerLogits: zeros(device, 2, 2),
      experts: [expert, expert],
      topK: 2,
      activation: "silu" as Activation,
    };
    const routing: Routing = {
      scores: "sigmoid",
      groups: 2,
      topGroups: 2,
      bestOfGroup: 1,
      normalise: true,
      scale: 1,
    };
    const refused = (
      code: Parameters<typeof expectCode>[0],
      change: Partial<typeof valid & { routing: Routing }>,
    ) => expectCode(code, () => device.mixtureOfExperts({ ...valid, ...change }));

    device.mixtureOfExperts(valid);
    device.mixtureOfExperts({ ...valid, routing });
    refused("InvalidArgument", { topK: 0 });
    refused("InvalidArgument", { topK: 3 });
    refused("InvalidArgument", { routing: { ...routing, groups: 3 } });
    refused("InvalidArgument", { experts: [] });
    refused("InvalidArgument", { activation: "tanh" as Activation });
    refused("ShapeMismatch", { routerLogits: zeros(device, 2, 3) });
    refused("ShapeMismatch", { routerLogits: zeros(device, 1, 2) });
    refused("ShapeMismatch", { x: zeros(device, 2, 3) });
    refused("ShapeMismatch", { experts: [expert, { ...expert, up: up(2, 3) }] });
    refused("ShapeMismatch", { experts: [expert, { ...expert, down: up(3, 2) }] });
  });

  test("the device works on after all of this", async () => {
    const { device } = subject;
    const x = tensorOf(device, [[2]]);
    await expectClose(subject, device.linear(x, weightOf(device, [[3]])), [1, 1], [6]);
  });
}
