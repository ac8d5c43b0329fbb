import { availableParallelism } from "node:os";
import { setFlagsFromString } from "node:v8";
import { cpuDevice, referenceDevice, type Device } from "@transmla/kernels";
import { CliError, usage } from "./errors";

export interface DeviceOptions {
  /** Threads that compute; default: as many as the machine runs at once. Devices without threads ignore it. */
  readonly threads?: number | undefined;
  /** Whether V8 is told to use 256-bit vectors. Devices other than `cpu` ignore it. */
  readonly wideVectors?: boolean | undefined;
}

/** Most threads that are used without being asked for: beyond it memory, not arithmetic, is the limit. */
const MOST_THREADS = 16;

const cpuThreads = ({ threads }: DeviceOptions): number =>
  threads ?? Math.min(availableParallelism(), MOST_THREADS);

/** Devices by the name that `--device` takes. A new one is one entry. */
const devices = {
  cpu: (options: DeviceOptions) => {
    if (options.wideVectors) joinVectors();
    return cpuDevice({ threads: cpuThreads(options), wideVectors: options.wideVectors });
  },
  reference: () => referenceDevice(),
  webgpu: () =>
    fromPackage("@transmla/kernels-webgpu webgpu", async () => {
      return (await import("@transmla/kernels-webgpu")).webgpuDevice();
    }),
  gpujs: () =>
    fromPackage("@transmla/kernels-gpujs", async () => {
      return (await import("@transmla/kernels-gpujs")).gpujsDevice();
    }),
} as const satisfies Readonly<Record<string, (options: DeviceOptions) => Device | Promise<Device>>>;

export type DeviceName = keyof typeof devices;

export const deviceNames = Object.keys(devices) as readonly DeviceName[];

/** Threads that a device computes with; 1 for devices without threads. */
export const threadsOf = (name: DeviceName, options: DeviceOptions): number =>
  name === "cpu" ? cpuThreads(options) : 1;

/** Tells V8 to join pairs of 128-bit vectors in all WebAssembly that is compiled from now on. */
function joinVectors(): void {
  const { arch, versions } = process;
  if (arch !== "x64" || Number.parseInt(versions.node, 10) < 24) {
    throw usage(
      `--wide-vectors needs Node 24 or later on x64; this is Node ${versions.node} on ${arch}. Leave it out: results are the same.`,
    );
  }
  setFlagsFromString("--experimental-wasm-revectorize");
}

/** A device of packages that the CLI does without until they are asked for. @param names what to install */
async function fromPackage(names: string, make: () => Promise<Device>): Promise<Device> {
  try {
    return await make();
  } catch (cause) {
    if ((cause as { code?: string }).code !== "ERR_MODULE_NOT_FOUND") throw cause;
    const message = `this device needs packages that are not installed: npm install ${names}`;
    throw new CliError("PackageMissing", message, { packages: names.split(" ") }, { cause });
  }
}

/** Makes a device. */
export async function openDevice(name: DeviceName, options: DeviceOptions): Promise<Device> {
  return givingWay(await devices[name](options));
}

/**
 * Lets the event loop turn before every read. These devices compute on this thread, so that otherwise a Ctrl-C would wait until
 * the work is done.
 */
function givingWay(device: Device): Device {
  const read = device.read.bind(device);
  device.read = async (...args) => {
    await new Promise<void>((resolve) => void setImmediate(resolve));
    return read(...args);
  };
  return device;
}
