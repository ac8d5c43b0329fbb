import { cpuDevice } from "@transmla/kernels";

/** The GPU where there is one and its package is installed, else the CPU. */
export async function bestDevice() {
  try {
    const { webgpuDevice } = await import("@transmla/kernels-webgpu");
    return await webgpuDevice();
  } catch {
    return cpuDevice({ threads: 2 });
  }
}

const device = await bestDevice();
console.log("running on", device.name);
const sum = device.add(
  device.tensor(Float32Array.of(1, 2), [1, 2]),
  device.tensor(Float32Array.of(3, 4), [1, 2]),
);
console.log(await device.read(sum)); // 4, 6
device.destroy();
