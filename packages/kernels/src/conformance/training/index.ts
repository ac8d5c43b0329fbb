import { describe } from "vitest";
import type { TrainingDevice } from "../../training-device";
import { describeDevice } from "../describe-device";
import { documentAttentionTests } from "./document-attention";
import { gradientTests } from "./gradients";
import { lossTests } from "./losses";
import { productTests } from "./products";
import { refusalTests } from "./refusals";
import { stepTests } from "./steps";

export interface TrainingConformanceOptions {
  /**
   * Largest allowed difference of a gradient to finite differences in float64, relative to its largest number. Default
   * `1e-3`.
   */
  readonly tolerance?: number | undefined;
}

/**
 * Registers vitest tests that hold a device to `TrainingOperations`: known answers, float64 formulas, every gradient
 * against float64 finite differences of the formula, and the code of every refusal.
 */
export function trainingConformance(
  name: string,
  makeDevice: () => TrainingDevice | Promise<TrainingDevice>,
  { tolerance = 1e-3 }: TrainingConformanceOptions = {},
): void {
  describeDevice(`${name} trains`, makeDevice, tolerance, (subject) => {
    describe("products and sums", () => productTests(subject));
    describe("gradients", () => gradientTests(subject));
    describe("attention within documents", () => documentAttentionTests(subject));
    describe("losses", () => lossTests(subject));
    describe("steps", () => stepTests(subject));
    describe("refusals", () => refusalTests(subject));
  });
}
