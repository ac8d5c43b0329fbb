import { cpuDevice, type Device } from "@transmla/kernels";

/** What computes, and what of the browser it could not use. */
export interface DeviceReport {
  readonly name: DeviceName;
  /** Threads in use; devices without threads have none. */
  readonly threads?: number | undefined;
  /** Why there is one thread only. */
  readonly threadsReason?: string | undefined;
}

/** Threads that are asked for at most: beyond it memory, not arithmetic, is the limit. */
const MOST_THREADS = 8;

/** Devices by name: a new one is one entry. */
export const devices = {
  cpu: async () => {
    const device = await cpuDevice({
      threads: Math.min(navigator.hardwareConcurrency, MOST_THREADS),
    });
    const { threads, threadsReason } = device;
    return { device, report: { threads, threadsReason } };
  },
  webgpu: async () => {
    const { webgpuDevice } = await import("@transmla/kernels-webgpu");
    return { device: await webgpuDevice(), report: {} };
  },
} as const satisfies Readonly<Record<string, () => Promise<OpenedDevice>>>;

interface OpenedDevice {
  readonly device: Device;
  readonly report: Omit<DeviceReport, "name">;
}

export type DeviceName = keyof typeof devices;

/** Opens a device that lets messages in between its steps, so that what runs can be stopped. */
export async function openDevice(
  name: DeviceName,
): Promise<{ readonly device: Device; readonly report: DeviceReport }> {
  const { device, report } = await devices[name]();
  const read = device.read.bind(device);
  device.read = async (...args) => {
    await turn();
    return read(...args);
  };
  return { device, report: { name, ...report } };
}

const { port1, port2 } = new MessageChannel();
const waiting: (() => void)[] = [];
port1.addEventListener("message", () => waiting.shift()?.());
port1.start();

/** Ends when the worker has seen to its other messages. A timer would wait for milliseconds. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    port2.postMessage(undefined);
  });
}
