import { expect, it } from "vitest";
import { quantiseRows } from "./quantise";

it("writes a scale and a byte per column, row by row", () => {
  const bytes = quantiseRows(Float32Array.of(1.27, -0.635, 0.004, 0, 0, 0), 3);
  const view = new DataView(bytes.buffer);
  expect(bytes.length).toBe(14);
  expect(view.getFloat32(0, true)).toBeCloseTo(0.01, 8);
  expect([view.getInt8(4), view.getInt8(5), view.getInt8(6)]).toEqual([127, -64, 0]);
  // A row of zeros stays one.
  expect([...bytes.subarray(7)]).toEqual([0, 0, 0, 0, 0, 0, 0]);
});

it("errs by at most half a step", () => {
  const values = Float32Array.from({ length: 400 }, (_, i) => Math.sin(i * i));
  const bytes = quantiseRows(values, 100);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of values.entries()) {
    const row = Math.floor(i / 100);
    const scale = view.getFloat32(row * 104, true);
    expect(Math.abs(scale * view.getInt8(row * 104 + 4 + (i % 100)) - value)).toBeLessThanOrEqual(
      0.5001 * scale,
    );
  }
});
