import { cpuDevice } from "@transmla/kernels";

/**
 * Our CPU device with exactly the threads and the SIMD build asked for ("auto" is any). Throws where this version or engine
 * has no such choice, which the report shows as the reason why a row was skipped.
 */
export async function openDevice({ threads = 1, simd = "auto" } = {}) {
  const device = await cpuDevice({ threads, simd });
  const got = { threads: device.threads ?? 1, simd: device.simd ?? "simd128" };
  const rightBuild = simd === "auto" || got.simd === simd;
  if (rightBuild && got.threads === threads) return device;
  device.destroy();
  if (!rightBuild) throw new Error(`ours has no ${simd} build here`);
  throw new Error(`ours runs on ${got.threads} thread, not on ${threads}`);
}

/** Waits for everything enqueued so far. */
export async function finish(device) {
  const probe = device.tensor(new Float32Array(1), [1, 1]);
  await device.read(probe);
  device.release(probe);
}

/** Runs `body` and returns the seconds it took, with `finish` included. */
export async function timed(device, body) {
  const started = performance.now();
  body();
  await finish(device);
  return (performance.now() - started) / 1e3;
}
