import { moduleOf, type Kernel } from "../wgsl/kernel";

/** A kernel that is ready to run. */
export interface Program {
  readonly kernel: Kernel;
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  readonly paramBytes: number;
  /** Number of the program, for keys of bind groups. */
  readonly id: number;
}

const COMPUTE = 0x4;

/** The compiled kernels of a device, each made when it is first wanted. */
export class Programs {
  readonly #device: GPUDevice;
  readonly #programs = new Map<string, Program>();

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** @param make called once per key. */
  get(key: string, make: () => Kernel): Program {
    const known = this.#programs.get(key);
    if (known) return known;
    const program = this.#compile(make());
    this.#programs.set(key, program);
    return program;
  }

  #compile(kernel: Kernel): Program {
    const device = this.#device;
    const label = kernel.name;
    const paramBytes = Math.ceil((4 * Object.keys(kernel.params).length) / 16) * 16;
    const uniform: GPUBindGroupLayoutEntry = {
      binding: 0,
      visibility: COMPUTE,
      buffer: { type: "uniform", hasDynamicOffset: true, minBindingSize: paramBytes },
    };
    const storages = Object.values(kernel.buffers).map(
      ({ access }, i): GPUBindGroupLayoutEntry => ({
        binding: i + 1,
        visibility: COMPUTE,
        buffer: { type: access === "read" ? "read-only-storage" : "storage" },
      }),
    );
    const layout = device.createBindGroupLayout({ label, entries: [uniform, ...storages] });
    const module = device.createShaderModule({ label, code: moduleOf(kernel) });
    const pipeline = device.createComputePipeline({
      label,
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: "main" },
    });
    return { kernel, pipeline, layout, paramBytes, id: this.#programs.size };
  }
}
