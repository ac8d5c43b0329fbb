import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { transmla } from "./program.mjs";
import { mean } from "./setup.mjs";

const THREADS = ["--threads", "2"];

/** As a user runs it, on the texts that come with the sample model. */
export const SETTINGS = {
  keep: "12.5%",
  distill: [
    "--steps",
    "100",
    "--batch",
    "1024",
    "--context",
    "256",
    "--rate",
    "5e-4",
    "--warmup",
    "10",
  ],
  evaluationTokens: 16_384,
};

/** `transmla convert`, `distill`, `evaluate`: what part of the lost log-perplexity comes back. */
export async function heal(_, { seeds, progress }) {
  const folder = await mkdtemp(join(tmpdir(), "transmla-bench-"));
  try {
    const original = await nll("sample");
    const rows = [];
    for (const seed of seeds) {
      progress(`seed ${seed}: converting`);
      const [student, out] = [join(folder, `mla-${seed}`), join(folder, `healed-${seed}`)];
      await transmla(
        "convert",
        "sample",
        student,
        "--keep",
        SETTINGS.keep,
        "--seed",
        String(seed),
        ...THREADS,
      );
      const before = await nll(student);
      progress(`seed ${seed}: distilling`);
      const { seconds, tokens, tokensPerSecond } = await transmla(
        "distill",
        student,
        out,
        "--teacher",
        "sample",
        "--text",
        "sample",
        "--seed",
        String(seed),
        ...SETTINGS.distill,
        ...THREADS,
      );
      const after = await nll(out);
      const wonBack = (before - after) / (before - original);
      rows.push({
        seed,
        before,
        after,
        wonBack,
        seconds,
        tokens,
        tokensPerSecond,
      });
      progress(
        `seed ${seed}: ${before.toFixed(4)} → ${after.toFixed(4)}, original ${original.toFixed(4)}`,
      );
    }
    return { settings: SETTINGS, original, rows, wonBack: mean(rows.map((row) => row.wonBack)) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function nll(model) {
  const flags = ["--text", "sample", "--max-tokens", String(SETTINGS.evaluationTokens)];
  return (await transmla("evaluate", model, ...flags, ...THREADS)).nll;
}
