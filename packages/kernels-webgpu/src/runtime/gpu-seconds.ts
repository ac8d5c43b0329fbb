import { bufferUsage } from "./buffer-pool";
import type { Gpu } from "./gpu";

const MAP_READ = 0x1;

/** Seconds between the first and the last command of `body`, by the adapter's clock; `undefined` without timestamp queries. */
export async function gpuSeconds(gpu: Gpu, body: () => void): Promise<number | undefined> {
  const { device, recorder } = gpu;
  recorder.flush();
  if (!device.features.has("timestamp-query")) {
    body();
    return undefined;
  }
  const queries = device.createQuerySet({ type: "timestamp", count: 2 });
  const { QUERY_RESOLVE, COPY_SRC, COPY_DST, MAP_READ: mappable } = bufferUsage;
  const times = device.createBuffer({ size: 16, usage: QUERY_RESOLVE | COPY_SRC });
  const staging = device.createBuffer({ size: 16, usage: mappable | COPY_DST });
  // Timestamps are taken at the borders of passes; an empty pass marks a place.
  const mark = (index: number) =>
    recorder.encode((encoder) => {
      const timestampWrites = { querySet: queries, endOfPassWriteIndex: index };
      encoder.beginComputePass({ timestampWrites }).end();
    });
  try {
    mark(0);
    body();
    mark(1);
    recorder.encode((encoder) => {
      encoder.resolveQuerySet(queries, 0, 2, times, 0);
      encoder.copyBufferToBuffer(times, 0, staging, 0, 16);
    });
    recorder.flush();
    await staging.mapAsync(MAP_READ).catch(async (cause: unknown) => {
      throw await gpu.failures.explain(cause);
    });
    gpu.failures.throwIfAny();
    const [start, end] = new BigUint64Array(staging.getMappedRange());
    return Number(end! - start!) * 1e-9;
  } finally {
    queries.destroy();
    times.destroy();
    staging.destroy();
  }
}
