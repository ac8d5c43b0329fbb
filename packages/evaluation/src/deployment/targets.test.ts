import { expect, it } from "vitest";
import { EvaluationError } from "../errors";
import { deviceSheets, targetNamed } from "./targets";

it("a count follows the name", () => {
  expect(targetNamed("h100")).toMatchObject({ devices: 1, memory: 80 * 2 ** 30 });
  expect(targetNamed("h100x8")).toMatchObject({ name: "h100x8", devices: 8, bandwidth: 3.35e12 });
  // The x of a name is not one of a count.
  expect(targetNamed("rtx4090")).toMatchObject({ devices: 1, flops: 165.2e12 });
  expect(targetNamed("rtx4090x2")).toMatchObject({ devices: 2, flops: 165.2e12 });
});

it.each(["", "h100x", "h100x0", "h101", "x8", "toString", "h100x12345"])("refuses %j", (name) => {
  expect(() => targetNamed(name)).toThrow(EvaluationError);
});

it("every sheet has figures and an address", () => {
  for (const { bandwidth, flops, memory, source } of Object.values(deviceSheets)) {
    expect(Math.min(bandwidth, flops, memory)).toBeGreaterThan(1e9);
    // A machine computes more than it reads, and reads its memory in less than a second or so.
    expect(flops / bandwidth).toBeGreaterThan(1);
    expect(source).toMatch(/^https:\/\//);
  }
});
