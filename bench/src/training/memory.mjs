import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { transmla } from "./program.mjs";

const SETTINGS = { keep: "12.5%", context: 256 };
/** Everything has been taken after a few steps, but for what the engine is late to collect in a longer run. */
const [FEW, MANY] = [8, 100];

/** `transmla train` and `distill`: the largest resident size of the process beside the plan that it prints before it starts. */
export async function memory(_, { progress }) {
  const folder = await mkdtemp(join(tmpdir(), "transmla-bench-"));
  try {
    const student = join(folder, "mla");
    progress("converting");
    await transmla("convert", "sample", student, "--keep", SETTINGS.keep, "--threads", "2");
    const rows = [];
    for (const choice of choices()) {
      const row = {
        ...choice,
        ...(await measured(student, join(folder, `${rows.length}`), choice)),
      };
      rows.push(row);
      progress(
        `${Object.values(choice).join(" ")}: ${(row.peakRssBytes / row.plannedBytes).toFixed(2)}`,
      );
    }
    const ratios = rows.map(({ peakRssBytes, plannedBytes }) => peakRssBytes / plannedBytes);
    const worst = ratios.reduce((far, ratio) =>
      Math.abs(Math.log(ratio)) > Math.abs(Math.log(far)) ? ratio : far,
    );
    return { settings: SETTINGS, rows, worst };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function* choices() {
  for (const command of ["train", "distill"])
    for (const batch of [256, 1024, 2048])
      for (const threads of [1, 2])
        for (const train of ["attention", "all"])
          yield { command, batch, threads, train, steps: FEW };
  yield { command: "distill", batch: 1024, threads: 2, train: "all", steps: MANY };
}

async function measured(student, out, { command, ...choice }) {
  const { context } = SETTINGS;
  const teacher = command === "distill" ? { teacher: "sample" } : {};
  const values = { text: "sample", context, warmup: 2, ...teacher, ...choice };
  const flags = Object.entries(values).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const { plannedBytes, peakRssBytes } = await transmla(command, student, out, ...flags);
  await rm(out, { recursive: true });
  return { plannedBytes, peakRssBytes };
}
