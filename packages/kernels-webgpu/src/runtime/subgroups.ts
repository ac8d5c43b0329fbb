import { bufferUsage } from "./buffer-pool";

const WORKGROUP = 128;
const MAP_READ = 0x1;

/**
 * The number of invocations in a subgroup, if kernels may rely on it: WGSL promises neither that it is the same in every kernel nor that
 * neighbouring invocations share one, so both are asked of the adapter and of a kernel. `undefined` where either does not hold.
 */
export async function probeSubgroups(device: GPUDevice): Promise<number | undefined> {
  const { subgroupMinSize, subgroupMaxSize } = device.adapterInfo as {
    subgroupMinSize?: number;
    subgroupMaxSize?: number;
  };
  if (!subgroupMinSize || subgroupMinSize !== subgroupMaxSize) return undefined;
  const seen = await laneOfEach(device);
  const linear = seen.every((lane, i) => lane === i % subgroupMinSize);
  return linear ? subgroupMinSize : undefined;
}

async function laneOfEach(device: GPUDevice): Promise<Uint32Array> {
  const code = /* wgsl */ `
enable subgroups;
@group(0) @binding(0) var<storage, read_write> lanes: array<u32>;
@compute @workgroup_size(${WORKGROUP})
fn main(@builtin(local_invocation_index) local: u32, @builtin(subgroup_invocation_id) lane: u32) {
  lanes[local] = lane;
}`;
  const { COPY_DST, COPY_SRC, MAP_READ: mappable, STORAGE } = bufferUsage;
  const size = 4 * WORKGROUP;
  const lanes = device.createBuffer({ size, usage: STORAGE | COPY_SRC });
  const staging = device.createBuffer({ size, usage: mappable | COPY_DST });
  try {
    const module = device.createShaderModule({ code });
    const pipeline = device.createComputePipeline({
      layout: "auto",
      compute: { module, entryPoint: "main" },
    });
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    const entries = [{ binding: 0, resource: { buffer: lanes } }];
    pass.setBindGroup(
      0,
      device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }),
    );
    pass.dispatchWorkgroups(1);
    pass.end();
    encoder.copyBufferToBuffer(lanes, 0, staging, 0, size);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(MAP_READ);
    return new Uint32Array(staging.getMappedRange().slice(0));
  } finally {
    lanes.destroy();
    staging.destroy();
  }
}
