import { referenceDevice } from "@transmla/kernels";
import { cachePlanes, openModel } from "@transmla/models";
import { expect, it } from "vitest";
import { FARTHEST, inOrder } from "./calibration-positions";
import { CalibrationRunner } from "./calibration-stream";
import { golden, tokens } from "./testing-models";

it("skips positions except in layers whose window is shorter than the gaps", async () => {
  const { config } = await openModel(golden("llama"));
  const runner = new CalibrationRunner(referenceDevice(), config);
  const embedding = () => new Float32Array(config.hiddenSize);
  const sequences = [1, 2].map((seed) => tokens(32, seed));
  const stream = runner.embed(sequences, embedding, { skipPositions: true });
  const { attention } = config.layers[0];
  const seenIn = async (window: number | undefined) => {
    const seen: number[] = [];
    await runner.eachBatch(
      stream,
      { planes: cachePlanes(attention), config: { ...attention, window } },
      ({ x, positions }) => {
        seen.push(...positions);
        return [x];
      },
      () => {},
    );
    return seen;
  };
  const whole = [...inOrder(32), ...inOrder(32)];
  expect(await seenIn(FARTHEST - 1)).toEqual(whole);
  for (const window of [undefined, FARTHEST]) {
    const seen = await seenIn(window);
    expect(seen.slice(0, 32)).toEqual(whole.slice(0, 32));
    expect(seen[63]).toBeGreaterThan(32);
  }
});
