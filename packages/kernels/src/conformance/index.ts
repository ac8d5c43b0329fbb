import { describe } from "vitest";
import type { Device } from "../device";
import { cacheTests } from "./caches";
import { describeDevice } from "./describe-device";
import { errorTests } from "./errors";
import { expertTests } from "./experts";
import { extremeTests } from "./extremes";
import { groupedAttentionTests } from "./grouped-attention";
import { latentAttentionTests } from "./latent-attention";
import { linearTests } from "./linear";
import { memoryTests } from "./memory";
import { pointwiseTests } from "./pointwise";

export interface ConformanceOptions {
  /**
   * Largest allowed difference to the formulas in float64, relative to the largest number of a result. Default `1e-4`,
   * which float32 arithmetic in any order of summation keeps.
   */
  readonly tolerance?: number | undefined;
}

/**
 * Registers vitest tests that hold a device to the written semantics of `Device`: every operation against known answers
 * and float64 formulas, memory and scopes, and the code of every refusal.
 *
 * @param makeDevice called twice; the suite destroys both devices.
 */
export function conformance(
  name: string,
  makeDevice: () => Device | Promise<Device>,
  { tolerance = 1e-4 }: ConformanceOptions = {},
): void {
  describeDevice(`${name} conforms`, makeDevice, tolerance, (subject) => {
    describe("memory", () => memoryTests(subject, makeDevice));
    describe("linear and embedding", () => linearTests(subject));
    describe("norm, activation, rotation", () => pointwiseTests(subject));
    describe("storages of caches", () => cacheTests(subject));
    describe("grouped attention", () => groupedAttentionTests(subject));
    describe("latent attention", () => latentAttentionTests(subject));
    describe("mixture of experts", () => expertTests(subject));
    describe("numbers at the edge", () => extremeTests(subject));
    describe("refusals", () => errorTests(subject));
  });
}

export { trainingConformance, type TrainingConformanceOptions } from "./training";
