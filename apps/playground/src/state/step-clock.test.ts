import { expect, it } from "vitest";
import { StepClock } from "./step-clock";

const at = (label: string, done: number) => ({ label, done, total: 10, unit: "layers" });

it("extrapolates from what a step has done since its first report", () => {
  let now = 5000;
  const clock = new StepClock(() => now);
  expect(clock.remaining(at("converting", 1))).toBeUndefined();
  now += 4000;
  // Two layers in four seconds, seven to go.
  expect(clock.remaining(at("converting", 3))).toBe(14);
});

it("begins anew with another step", () => {
  let now = 0;
  const clock = new StepClock(() => now);
  clock.remaining(at("choosing sizes", 0));
  now += 60_000;
  expect(clock.remaining(at("converting", 0))).toBeUndefined();
  now += 1000;
  expect(clock.remaining(at("converting", 5))).toBe(1);
});
