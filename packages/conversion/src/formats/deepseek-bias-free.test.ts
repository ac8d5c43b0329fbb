import { matrix } from "@transmla/low-rank";
import { expect, it } from "vitest";
import { nearlyOne } from "./deepseek-bias-free";

it("finds the functional nearest to 1 although rounding made a moment indefinite", () => {
  // Three inputs: 2 always, one of mean 0, and one that is always 0 but for rounding.
  const moment = matrix(4, 4, [4, 0, 0, 2, 0, 1, 0, 0, 0, 0, -1e-7, 0, 2, 0, 0, 1]);
  const { data } = nearlyOne(moment);
  for (const [i, value] of [0.5, 0, 0, 0].entries()) expect(data[i]).toBeCloseTo(value, 4);
});
