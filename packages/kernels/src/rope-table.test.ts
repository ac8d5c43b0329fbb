import { expect, test } from "vitest";
import { referenceDevice } from "./reference/reference-device";
import { ropeTable } from "./rope-table";

test("cos and sin of position times frequency, exact at far positions", async () => {
  const device = referenceDevice();
  const positions = 100_000;
  const { cos, sin } = ropeTable(device, [1, 0.1], positions);
  expect(cos.shape).toEqual([positions, 2]);
  const c = await device.read(cos);
  const s = await device.read(sin);
  for (const position of [0, 1, 99_999]) {
    expect(c[2 * position]).toBe(Math.fround(Math.cos(position)));
    expect(s[2 * position + 1]).toBe(Math.fround(Math.sin(position * 0.1)));
  }
});
