import { afterAll, beforeAll, describe } from "vitest";
import type { Device } from "../device";
import type { Subject } from "./expectations";

/** A group of tests of one device, which is made before and destroyed after them. */
export function describeDevice<Tested extends Device>(
  title: string,
  makeDevice: () => Tested | Promise<Tested>,
  tolerance: number,
  tests: (subject: Subject<Tested>) => void,
): void {
  describe(title, () => {
    let device: Tested;
    beforeAll(async () => {
      device = await makeDevice();
    });
    afterAll(() => device.destroy());
    tests({
      get device() {
        return device;
      },
      tolerance,
    });
  });
}
