import { arch, cpus, platform, release, totalmem, loadavg } from "node:os";
import { withContenders } from "./contender.mjs";
import { relaxedFlags } from "./engine.mjs";
import { limitsModule } from "./limits/compile.mjs";
import { interleave } from "./measure.mjs";

/** What the report says about the machine, its limits as far as they do not depend on a group included. */
export async function describeMachine({ quick, progress }) {
  const limits = await measureLimits({ quick, progress });
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${release()} ${arch()}`,
    node: process.version,
    date: new Date().toISOString(),
    loadAverage: loadavg()[0],
    limits,
  };
}

/**
 * `{ read1, read2 }` in GB/s, `{ simd1, simd2, relaxed1 }` in GFLOP/s: `{ median, best }` of each, or `{ missing }`. Rows that
 * compare with a limit take the best of both sides: other work on the machine only ever slows them.
 */
async function measureLimits({ quick, progress }) {
  const megabytes = quick ? 64 : 256;
  const spec = async (simd, threads) => ({
    module: "limits",
    options: { wasm: await limitsModule(simd), threads, megabytes },
    flags: simd === "relaxed" ? relaxedFlags : [],
  });
  const specs = {
    1: await spec("simd128", 1),
    2: await spec("simd128", 2),
    relaxed1: await spec("relaxed", 1),
    relaxed2: await spec("relaxed", 2),
  };
  return withContenders(specs, async (contenders) => {
    const options = { repetitions: quick ? 3 : 15, progress };
    const reads = await interleave(contenders, { kind: "read" }, options);
    const sums = await interleave(contenders, { kind: "multiplyAdd" }, options);
    const of = (results, name, count) => {
      const { missing, seconds, best, extra } = results.get(name);
      if (missing) return { missing };
      return { median: extra[count] / seconds, best: extra[count] / best };
    };
    return {
      read1: of(reads, "1", "gigabytes"),
      read2: of(reads, "2", "gigabytes"),
      simd1: of(sums, "1", "gflop"),
      simd2: of(sums, "2", "gflop"),
      relaxed1: of(sums, "relaxed1", "gflop"),
      relaxed2: of(sums, "relaxed2", "gflop"),
    };
  });
}
