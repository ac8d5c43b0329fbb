import { EvaluationError } from "../errors";

/** Hardware that a model is planned for: one or several equal devices. */
export interface Target {
  readonly name: string;
  /** How many of them. */
  readonly devices: number;
  /** Of one device: bytes per second read from its memory. */
  readonly bandwidth: number;
  /** Of one device: floating-point operations per second of a large product of 16-bit numbers without sparsity, two per multiply-add. */
  readonly flops: number;
  /** Of one device: bytes. */
  readonly memory: number;
}

/** A device as its maker describes it. */
interface DeviceSheet extends Omit<Target, "name" | "devices"> {
  readonly title: string;
  /** The page that says so. */
  readonly source: string;
  /** What the page does not say. */
  readonly note?: string;
}

const GB = 1e9;
/** Memory is sold by powers of two whatever the sheet calls them: CUDA finds 79.1 GiB on an "80 GB" H100. */
const GiB = 2 ** 30;
const TB = 1e12;
const TFLOPS = 1e12;

/**
 * Devices by the names that a target may have. Peak figures of the data sheets, which no program reaches; where a sheet gives
 * arithmetic "with sparsity", half of it.
 */
export const deviceSheets = {
  h100: {
    title: "NVIDIA H100 SXM 80 GB",
    bandwidth: 3.35 * TB,
    flops: 989.5 * TFLOPS,
    memory: 80 * GiB,
    source: "https://www.nvidia.com/en-us/data-center/h100/",
  },
  h200: {
    title: "NVIDIA H200 SXM 141 GB",
    bandwidth: 4.8 * TB,
    flops: 989.5 * TFLOPS,
    memory: 141 * GiB,
    source: "https://www.nvidia.com/en-us/data-center/h200/",
  },
  a100: {
    title: "NVIDIA A100 SXM 80 GB",
    bandwidth: 2.039 * TB,
    flops: 312 * TFLOPS,
    memory: 80 * GiB,
    source: "https://www.nvidia.com/en-us/data-center/a100/",
  },
  "a100-40gb": {
    title: "NVIDIA A100 40 GB",
    bandwidth: 1.555 * TB,
    flops: 312 * TFLOPS,
    memory: 40 * GiB,
    source:
      "https://images.nvidia.com/aem-dam/en-zz/Solutions/data-center/nvidia-ampere-architecture-whitepaper.pdf",
  },
  l4: {
    title: "NVIDIA L4",
    bandwidth: 300 * GB,
    flops: 121 * TFLOPS,
    memory: 24 * GiB,
    source: "https://www.nvidia.com/en-us/data-center/l4/",
  },
  rtx4090: {
    title: "NVIDIA GeForce RTX 4090",
    bandwidth: 1008 * GB,
    flops: 165.2 * TFLOPS,
    memory: 24 * GiB,
    source:
      "https://images.nvidia.com/aem-dam/Solutions/geforce/ada/nvidia-ada-gpu-architecture.pdf",
  },
  mi300x: {
    title: "AMD Instinct MI300X",
    bandwidth: 5.3 * TB,
    flops: 1307.4 * TFLOPS,
    memory: 192 * GiB,
    source: "https://www.amd.com/en/products/accelerators/instinct/mi300/mi300x.html",
  },
  "m3-max": {
    title: "Apple M3 Max, 40 GPU cores, 128 GB",
    bandwidth: 400 * GB,
    flops: 14.2 * TFLOPS,
    memory: 128 * GiB,
    source: "https://support.apple.com/en-us/117737",
    note: "Apple names no arithmetic: 40 cores of 128 lanes at about 1.4 GHz, two operations each.",
  },
  "phone-browser": {
    title: "a page in a phone's browser",
    bandwidth: 20 * GB,
    flops: 0.06 * TFLOPS,
    memory: 2 * GiB,
    source:
      "https://www.qualcomm.com/products/mobile/snapdragon/smartphones/snapdragon-8-series-mobile-platforms/snapdragon-8-gen-3-mobile-platform",
    note: "Assumed, not measured: a quarter of the 76.8 GB/s that LPDDR5X gives such a phone, two cores of WebAssembly, and what a page may keep.",
  },
} as const satisfies Readonly<Record<string, DeviceSheet>>;

export type DeviceName = keyof typeof deviceSheets;

/**
 * A target by its name: a device, and how many of them: `h100`, `h100x8`.
 *
 * @throws EvaluationError `InvalidOption`
 */
export function targetNamed(text: string): Target {
  const [, before = "", count = "1"] = /^(.+)x([1-9]\d{0,3})$/.exec(text) ?? [];
  // A name may itself end like a count: rtx4090.
  const [name, devices] = Object.hasOwn(deviceSheets, text) ? [text, 1] : [before, Number(count)];
  const sheet = Object.hasOwn(deviceSheets, name) ? deviceSheets[name as DeviceName] : undefined;
  if (!sheet) {
    throw new EvaluationError(
      "InvalidOption",
      `There is no device "${text}"; known: ${Object.keys(deviceSheets).join(", ")}, each with a count such as h100x8.`,
      { target: text },
    );
  }
  const { bandwidth, flops, memory } = sheet;
  return { name: text, devices, bandwidth, flops, memory };
}
