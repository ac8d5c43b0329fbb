import { KernelsError, type MachineLimits } from "@transmla/kernels";
import { Gpu } from "./runtime/gpu";
import { probeSubgroups } from "./runtime/subgroups";
import type { WebgpuDeviceOptions } from "./webgpu-options";

/**
 * What is assumed of a GPU that nobody measured: fixed numbers, so that the same call always takes the same way. The ratio decides,
 * and that of these, 25 operations per byte, is an ordinary one for float32.
 */
const ASSUMED_LIMITS: MachineLimits = { bandwidth: 400e9, gemm: 10e12 };

/** Features that are used where an adapter has them. */
const wantedFeatures = ["subgroups", "timestamp-query"] as const;

/** Finds an adapter and opens a device on it. @throws KernelsError `UnsupportedPlatform` */
export async function openGpu(
  options: WebgpuDeviceOptions & { readonly memoryLimit: number },
): Promise<{ gpu: Gpu; adapter: string }> {
  const adapter = await openAdapter(options);
  const features = wantedFeatures.filter((name) => adapter.features.has(name));
  const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
  // All buffers may be as large as the adapter allows; other limits stay at what every adapter has.
  const device = await adapter.requestDevice({
    requiredFeatures: features as readonly GPUFeatureName[] as GPUFeatureName[],
    requiredLimits: { maxBufferSize, maxStorageBufferBindingSize },
  });
  const { memoryLimit, subgroups = true, limits = ASSUMED_LIMITS } = options;
  const subgroupSize =
    subgroups && device.features.has("subgroups" as GPUFeatureName)
      ? await probeSubgroups(device)
      : undefined;
  const sizes = { maxBufferSize, maxStorageBufferBindingSize, memoryLimit };
  return { gpu: new Gpu(device, sizes, limits, subgroupSize), adapter: nameOf(adapter) };
}

/** @throws KernelsError `UnsupportedPlatform` */
export async function openAdapter({
  adapter: given,
  gpu,
  powerPreference = "high-performance",
}: WebgpuDeviceOptions): Promise<GPUAdapter> {
  if (given) return given;
  const source = gpu ?? (await findGpu());
  const adapter = await source.requestAdapter({ powerPreference });
  if (adapter) return adapter;
  throw new KernelsError(
    "UnsupportedPlatform",
    "There is no WebGPU adapter here. In Node on Linux it takes a Vulkan driver and libvulkan.so.1; in a browser, a GPU that it allows.",
  );
}

/** One instance for all devices: an instance of Dawn is a connection to every driver of the machine. */
let dawn: Promise<GPU> | undefined;

async function findGpu(): Promise<GPU> {
  const own = (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
  if (own) return own;
  if (typeof process === "undefined" || !process.versions?.node) {
    throw new KernelsError(
      "UnsupportedPlatform",
      "This browser has no WebGPU (navigator.gpu), or the page is not served over https or from localhost.",
    );
  }
  dawn ??= loadDawn();
  return dawn;
}

/**
 * Kernels of this package write workgroup memory before they read it, so that clearing it is lost time, and on SwiftShader more:
 * compiling takes 20 to 40 times as long.
 */
const DAWN_OPTIONS = ["enable-dawn-features=disable_workgroup_init"];

async function loadDawn(): Promise<GPU> {
  // In a variable, so that bundlers for browsers do not follow it.
  const name = "webgpu";
  try {
    const { create } = (await import(/* @vite-ignore */ name)) as {
      create(options: string[]): GPU;
    };
    return create(DAWN_OPTIONS);
  } catch (cause) {
    throw new KernelsError(
      "UnsupportedPlatform",
      `Node has no WebGPU of its own: install the package "webgpu" (npm install webgpu). ${(cause as Error).message}`,
      {},
      { cause },
    );
  }
}

function nameOf({ info }: GPUAdapter): string {
  return [info.vendor, info.architecture, info.description].filter(Boolean).join(" ") || "unnamed";
}
