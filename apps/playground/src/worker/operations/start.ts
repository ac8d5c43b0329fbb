import type { DeviceName, DeviceReport } from "../devices";
import type { Operation } from "../operation";

/** Opens a device. @throws KernelsError `UnsupportedPlatform` */
export const start: Operation<{ readonly device: DeviceName }, DeviceReport> = (
  bench,
  { device },
) => bench.useDevice(device);
