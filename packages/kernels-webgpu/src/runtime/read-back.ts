import { bufferUsage, type Block } from "./buffer-pool";
import type { Gpu } from "./gpu";

/** Staging buffers kept for the next read, per device. */
const kept = new WeakMap<GPUDevice, GPUBuffer[]>();
const MOST_KEPT = 4;
const MAP_READ = 0x1;

/**
 * Copies the first numbers of a block to the host, after all commands before, until `values` is full; returns it.
 *
 * @throws KernelsError what the GPU has reported since the last read
 */
export async function readBlock(
  gpu: Gpu,
  block: Block,
  values: Float32Array,
): Promise<Float32Array> {
  const bytes = values.byteLength;
  const staging = takeStaging(gpu, bytes);
  gpu.recorder.copy(block, staging, bytes);
  gpu.recorder.flush();
  try {
    await staging.mapAsync(MAP_READ, 0, bytes);
  } catch (cause) {
    staging.destroy();
    throw await gpu.failures.explain(cause);
  }
  values.set(new Float32Array(staging.getMappedRange(0, bytes)));
  staging.unmap();
  keepStaging(gpu, staging);
  gpu.statistics.bytesRead += bytes;
  gpu.failures.throwIfAny();
  return values;
}

function takeStaging({ device, statistics }: Gpu, bytes: number): GPUBuffer {
  const free = kept.get(device) ?? [];
  const at = free.findIndex(({ size }) => size >= bytes);
  if (at >= 0) return free.splice(at, 1)[0]!;
  statistics.buffersCreated++;
  const usage = bufferUsage.MAP_READ | bufferUsage.COPY_DST;
  return device.createBuffer({ size: Math.max(256, bytes), usage, label: "read" });
}

function keepStaging({ device }: Gpu, staging: GPUBuffer): void {
  const free = kept.get(device) ?? [];
  kept.set(device, free);
  free.push(staging);
  if (free.length > MOST_KEPT) free.shift()!.destroy();
}
