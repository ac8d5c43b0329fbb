import { expect, it } from "vitest";
import { singularValues } from "./spectra";

it("gives the spread along principal axes, the largest first, without the mean", () => {
  // Around (10, 20): two points 3 away along (1, 1) / sqrt 2, two 1 away across it.
  const along = 3 / Math.SQRT2;
  const across = 1 / Math.SQRT2;
  const rows = [along, along, -along, -along, across, -across, -across, across];
  const values = singularValues(
    Float32Array.from(rows, (value, i) => value + (i % 2 === 0 ? 10 : 20)),
    2,
  );
  expect(values[0]).toBeCloseTo(Math.sqrt(18 / 4), 5);
  expect(values[1]).toBeCloseTo(Math.sqrt(2 / 4), 5);
});
