import { expect } from "vitest";
import type { Device, Shape, Tensor, Weight, WeightStorage } from "../device";
import { KernelsError, type KernelsErrorCode } from "../errors";
import type { Random } from "./random";

/** A device under test, and how far its numbers may be from the formula, relative to the largest of the result. */
export interface Subject<Tested extends Device = Device> {
  readonly device: Tested;
  readonly tolerance: number;
}

/** Reads `tensor` and compares every number with `expected`. */
export async function expectClose(
  { device, tolerance }: Subject,
  tensor: Tensor,
  shape: Shape,
  expected: ArrayLike<number>,
): Promise<void> {
  expect(tensor.shape).toEqual(shape);
  const actual = await device.read(tensor);
  expect(actual.length).toBe(expected.length);
  let largest = 0;
  for (let i = 0; i < expected.length; i++) largest = Math.max(largest, Math.abs(expected[i]!));
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    if (!(difference <= tolerance * largest)) {
      const place = `[${Math.floor(i / shape[1])}, ${i % shape[1]}]`;
      expect.fail(
        `${place} of [${shape.join(", ")}]: got ${actual[i]}, expected ${expected[i]} (largest ${largest})`,
      );
    }
  }
}

/** Runs `action`, which must throw a `KernelsError` of `code`. */
export function expectCode(code: KernelsErrorCode, action: () => unknown): void {
  let thrown: unknown;
  try {
    action();
  } catch (error) {
    thrown = error;
  }
  expect(KernelsError.isInstance(thrown), `expected ${code}, got ${String(thrown)}`).toBe(true);
  expect((thrown as KernelsError).code).toBe(code);
}

/** A tensor of the given rows. */
export function tensorOf(device: Device, rows: readonly (readonly number[])[]): Tensor {
  return device.tensor(Float32Array.from(rows.flat()), [rows.length, rows[0]!.length]);
}

/** A float32 weight of the given rows. */
export function weightOf(device: Device, rows: readonly (readonly number[])[]): Weight {
  const weight = device.weight([rows.length, rows[0]!.length], "f32");
  device.writeRows(weight, 0, new Uint8Array(Float32Array.from(rows.flat()).buffer));
  return weight;
}

/** A random weight, written in two parts, and its numbers. */
export function randomWeight(
  device: Device,
  random: Random,
  shape: Shape,
  storage: WeightStorage = "f32",
): { weight: Weight; values: Float32Array } {
  const [rows] = shape;
  const { bytes, values } = random.stored(shape, storage);
  const weight = device.weight(shape, storage);
  const first = Math.ceil(rows / 3);
  const border = (first * bytes.length) / rows;
  device.writeRows(weight, first, bytes.slice(border));
  device.writeRows(weight, 0, bytes.slice(0, border));
  return { weight, values };
}

/** A random tensor and its numbers. */
export function randomTensor(
  device: Device,
  random: Random,
  shape: Shape,
  amplitude = 1,
): { tensor: Tensor; values: Float32Array } {
  const values = random.floats(shape[0] * shape[1], amplitude);
  return { tensor: device.tensor(values, shape), values };
}

/** Leaves numbers behind in memory that the next results may get, so that what is not written shows. */
export function soil(device: Device, shape: Shape): void {
  const [rows, columns] = shape;
  device.release(device.tensor(new Float32Array(rows * columns).fill(7), shape));
}
