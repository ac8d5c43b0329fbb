import { expect, test } from "vitest";
import type { Device, Tensor } from "../device";
import {
  expectClose,
  expectCode,
  randomTensor,
  tensorOf,
  weightOf,
  type Subject,
} from "./expectations";
import { Random } from "./random";

const asynchronous = async () => undefined;

export function memoryTests(subject: Subject, makeDevice: () => Device | Promise<Device>): void {
  test("a tensor is a copy, and so is what is read", async () => {
    const { device } = subject;
    const values = Float32Array.of(1, 2, 3, 4, 5, 6);
    const x = device.tensor(values, [2, 3]);
    expect(x.kind).toBe("tensor");
    values.fill(0);
    const read = await device.read(x);
    expect([...read]).toEqual([1, 2, 3, 4, 5, 6]);
    read.fill(0);
    expect([...(await device.read(x))]).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test("reads into an array of the caller's", async () => {
    const { device } = subject;
    const x = tensorOf(device, [
      [1, 2],
      [3, 4],
    ]);
    const array = new Float32Array(6).fill(9);
    const into = array.subarray(1, 5);
    expect(await device.read(x, into)).toBe(into);
    expect([...array]).toEqual([9, 1, 2, 3, 4, 9]);
    await expect(device.read(x, array)).rejects.toMatchObject({ code: "ShapeMismatch" });
    expect([...array]).toEqual([9, 1, 2, 3, 4, 9]);
  });

  test("read sees the state at its place in the program", async () => {
    const { device } = subject;
    const pool = device.pagePool({ pages: 1, pageTokens: 1, width: 1 });
    device.writePages(pool, tensorOf(device, [[1]]), Int32Array.of(0));
    const before = device.readPages(pool, Int32Array.of(0));
    device.writePages(pool, tensorOf(device, [[2]]), Int32Array.of(0));
    expect([...(await device.read(before))]).toEqual([1]);
  });

  test("pages hold rows at their slots", async () => {
    const { device } = subject;
    for (const width of [1, 3, 16, 65]) {
      const pool = device.pagePool({ pages: 5, pageTokens: 8, width });
      expect([pool.kind, pool.pages, pool.pageTokens, pool.width]).toEqual([
        "page-pool",
        5,
        8,
        width,
      ]);
      const slots = Int32Array.from(new Random(width).permutation(40));
      const rows = randomTensor(device, new Random(20), [40, width]);
      device.writePages(pool, rows.tensor, slots);
      await expectClose(subject, device.readPages(pool, slots), [40, width], rows.values);
      const one = device.readPages(pool, slots.slice(7, 8));
      await expectClose(subject, one, [1, width], rows.values.subarray(7 * width, 8 * width));
      device.release(pool);
    }
  });

  test("a scope keeps what it returns and releases the rest", async () => {
    const { device } = subject;
    const x = tensorOf(device, [[1, 2]]);
    let inner: Tensor | undefined;
    const y = device.scope(() => {
      inner = device.add(x, x);
      return device.add(inner, x);
    });
    await expectClose(subject, y, [1, 2], [3, 6]);
    expectCode("Released", () => device.add(inner!, x));
    await expectClose(subject, device.add(x, x), [1, 2], [2, 4]);
  });

  test("scopes nest: what the inner returns lives as long as the outer", async () => {
    const { device } = subject;
    const x = tensorOf(device, [[1]]);
    let fromInner: Tensor | undefined;
    const [kept] = device.scope(() => {
      const [a, b] = device.scope(() => [device.add(x, x), device.add(x, x)] as const);
      fromInner = b;
      return [device.add(a, b)];
    });
    await expectClose(subject, kept!, [1, 1], [4]);
    expectCode("Released", () => device.add(fromInner!, x));
  });

  test("a scope without result releases everything; so does one that throws", () => {
    const { device } = subject;
    const x = tensorOf(device, [[1]]);
    const made: Tensor[] = [];
    device.scope(() => {
      made.push(device.add(x, x));
    });
    expect(() =>
      device.scope(() => {
        made.push(device.add(x, x));
        throw new Error("on purpose");
      }),
    ).toThrow("on purpose");
    for (const tensor of made) expectCode("Released", () => device.add(tensor, x));
    device.add(x, x);
  });

  test("the body of a scope cannot be asynchronous", () => {
    const body = asynchronous as unknown as () => void;
    expectCode("InvalidArgument", () => subject.device.scope(body));
  });

  test("a scope can return a tensor from outside it, and release by hand inside", async () => {
    const { device } = subject;
    const x = tensorOf(device, [[7]]);
    const y = device.scope(() => {
      device.release(device.add(x, x));
      return x;
    });
    expect(y).toBe(x);
    await expectClose(subject, x, [1, 1], [7]);
  });

  test("weights and pools outlive scopes", async () => {
    const { device } = subject;
    const made: { weight?: ReturnType<Device["weight"]>; pool?: ReturnType<Device["pagePool"]> } =
      {};
    device.scope(() => {
      made.weight = weightOf(device, [[2]]);
      made.pool = device.pagePool({ pages: 1, pageTokens: 1, width: 1 });
    });
    const x = tensorOf(device, [[3]]);
    device.writePages(made.pool!, x, Int32Array.of(0));
    await expectClose(subject, device.linear(x, made.weight!), [1, 1], [6]);
  });

  test("released resources are refused", async () => {
    const { device } = subject;
    const x = tensorOf(device, [[1]]);
    const weight = weightOf(device, [[1]]);
    const pool = device.pagePool({ pages: 1, pageTokens: 1, width: 1 });
    const live = tensorOf(device, [[1]]);
    for (const resource of [x, weight, pool]) device.release(resource);
    expectCode("Released", () => device.add(live, x));
    expectCode("Released", () => device.linear(live, weight));
    expectCode("Released", () => device.embedding(weight, Int32Array.of(0)));
    expectCode("Released", () => device.writeRows(weight, 0, new Uint8Array(4)));
    expectCode("Released", () => device.writePages(pool, live, Int32Array.of(0)));
    expectCode("Released", () => device.readPages(pool, Int32Array.of(0)));
    for (const resource of [x, weight, pool]) {
      expectCode("Released", () => device.release(resource));
    }
    await expect(device.read(x)).rejects.toMatchObject({ code: "Released" });
  });

  test("memory is used again: many rounds of the same work", async () => {
    const { device } = subject;
    const x = randomTensor(device, new Random(21), [64, 257]).tensor;
    for (let round = 0; round < 500; round++) {
      device.scope(() => {
        device.add(device.add(x, x), x);
      });
    }
    const [first] = await device.read(x);
    const [tripled] = await device.read(device.add(device.add(x, x), x));
    expect(tripled! / first!).toBeCloseTo(3, 4);
  });

  test("resources of another device are refused; a destroyed device refuses everything", async () => {
    const { device } = subject;
    const other = await makeDevice();
    const foreign = tensorOf(other, [[1]]);
    const own = tensorOf(device, [[1]]);
    expectCode("ForeignResource", () => device.add(own, foreign));
    expectCode("ForeignResource", () => device.release(foreign));
    other.destroy();
    expectCode("Released", () => other.add(foreign, foreign));
    expectCode("Released", () => other.tensor(Float32Array.of(1), [1, 1]));
    expectCode("Released", () => other.weight([1, 1], "f32"));
    expectCode("Released", () => other.pagePool({ pages: 1, pageTokens: 1, width: 1 }));
    await expect(other.read(foreign)).rejects.toMatchObject({ code: "Released" });
    await expectClose(subject, device.add(own, own), [1, 1], [2]);
  });

  test("asking for room takes none, and room for little is there", async () => {
    const { device } = subject;
    const weights = [{ shape: [9, 32], storage: "q8_0" }] as const;
    const pools = [{ pages: 2, pageTokens: 3, width: 5, storage: "i8" }] as const;
    for (let i = 0; i < 3; i++) device.checkRoom({ weights, tensors: [[3, 4]], pools });
    device.checkRoom({});
    const x = tensorOf(device, [[1, 2]]);
    await expectClose(subject, device.add(x, x), [1, 2], [2, 4]);
  });

  test("more than any machine has is refused, and the device goes on", async () => {
    const { device } = subject;
    expectCode("OutOfMemory", () => device.weight([2 ** 30, 2 ** 20], "bf16"));
    expectCode("OutOfMemory", () =>
      device.pagePool({ pages: 2 ** 30, pageTokens: 64, width: 2 ** 16 }),
    );
    const x = tensorOf(device, [[1, 2]]);
    await expectClose(subject, device.add(x, x), [1, 2], [2, 4]);
  });
}
