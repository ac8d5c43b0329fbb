import { fileURLToPath } from "node:url";
import { referenceDevice } from "@transmla/kernels";
import { openModel } from "@transmla/models";
import { folder, memoryFolder } from "@transmla/tensor-io";
import { describe, expect, it, onTestFinished } from "vitest";
import { convert, type ConversionReport, type ConvertOptions } from "../convert";
import type { ConversionOptions } from "../options";
import { planConversion } from "../plan";
import { normal } from "../testing";

/** Ids without structure. */
function calibrationText(seed: number): Int32Array[] {
  const next = normal(seed);
  return Array.from({ length: 3 }, () =>
    Int32Array.from({ length: 24 }, () => Math.min(95, Math.floor(Math.abs(next()) * 30))),
  );
}

const halved = { method: "output-aware", keep: 0.5 } as const;

interface Attempt extends Partial<ConvertOptions> {
  /** Golden model; `llama` has two layers, `smollm3` four. */
  readonly family?: string;
  readonly method?: ConversionOptions;
  /** Stops once so many layers are converted. */
  readonly stopAfter?: number;
}

/** One conversion of a tiny model into the given files. */
async function attempt(
  files: Map<string, Uint8Array>,
  { family = "llama", method = halved, stopAfter, ...options }: Attempt,
): Promise<ConversionReport> {
  const path = fileURLToPath(new URL(`../../../models/golden/${family}`, import.meta.url));
  const source = await openModel(folder(path));
  onTestFinished(() => source.close());
  const controller = new AbortController();
  const plan = planConversion(source, { maxShardBytes: 30_000, ...method });
  return convert(plan, {
    device: referenceDevice(),
    calibration: calibrationText(1),
    output: memoryFolder(files, "output"),
    signal: controller.signal,
    onProgress: ({ phase, done }) => {
      if (phase === "converting" && done === stopAfter) controller.abort(new Error("stopped"));
    },
    ...options,
  });
}

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => "done",
    (error: { code?: string; message: string }) => error.code ?? error.message,
  );

const saved = (files: Map<string, Uint8Array>) =>
  [...files.keys()].filter((name) => name.startsWith(".transmla-layer"));

/** Files after an attempt that was stopped. */
async function stopped(stopAfter: number, more: Attempt = {}): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  expect(await codeOf(attempt(files, { resumable: true, stopAfter, ...more }))).toBe("stopped");
  expect(saved(files)).toHaveLength(stopAfter);
  return files;
}

it.each<[string, Attempt, number[]]>([
  ["output-aware", { family: "smollm3" }, [1, 3]],
  ["behind norms of heads", { family: "qwen3" }, [1]],
  ["transmla, the fold chosen", { method: { method: "transmla", keep: 0.5 } }, [1]],
  ["exact", { method: { method: "exact" } }, [1, 2]],
  ["the DeepSeek layout", { method: { ...halved, format: "deepseek", dtype: "bf16" } }, [1]],
])("%s goes on after any layer and gives the same bytes and report", async (_, job, stops) => {
  const whole = new Map<string, Uint8Array>();
  const expected = await attempt(whole, job);
  for (const layers of stops) {
    const files = await stopped(layers, job);
    const report = await attempt(files, { ...job, resume: true });
    expect([...files].toSorted()).toEqual([...whole].toSorted());
    expect({ ...report, seconds: 0 }).toEqual({ ...expected, seconds: 0 });
  }
});

describe("an unfinished conversion", () => {
  it("leaves nothing behind unless it is resumable", async () => {
    const files = new Map<string, Uint8Array>();
    expect(await codeOf(attempt(files, { stopAfter: 1 }))).toBe("stopped");
    expect(saved(files)).toEqual([]);
  });

  it("is not overwritten without being asked to", async () => {
    const files = await stopped(2);
    expect(await codeOf(attempt(files, {}))).toBe("OutputExists");
    expect(await codeOf(attempt(files, { resumable: true }))).toBe("OutputExists");
    expect(saved(files)).toHaveLength(2);
  });

  it.each<[string, Attempt]>([
    ["another size", { method: { method: "output-aware", keep: 0.25 } }],
    ["another method", { method: { method: "transmla", keep: 0.5 } }],
    ["another type", { method: { method: "output-aware", keep: 0.5, dtype: "bf16" } }],
    ["another text", { calibration: calibrationText(2) }],
  ])("is not resumed with %s", async (_, change) => {
    const files = await stopped(1);
    expect(await codeOf(attempt(files, { resume: true, ...change }))).toBe("ResumeMismatch");
    expect(await codeOf(attempt(files, { resume: true }))).toBe("done");
  });

  it("converts again what was damaged, and all that follows", async () => {
    const whole = new Map<string, Uint8Array>();
    await attempt(whole, {});
    const files = await stopped(2);
    const [, second] = saved(files);
    const bytes = files.get(second!)!.slice();
    bytes[bytes.length - 1]! ^= 1;
    files.set(second!, bytes);
    await attempt(files, { resume: true });
    expect([...files].toSorted()).toEqual([...whole].toSorted());
    const short = await stopped(2);
    const [first] = saved(short);
    short.set(first!, short.get(first!)!.subarray(0, 100));
    await attempt(short, { resume: true });
    expect([...short].toSorted()).toEqual([...whole].toSorted());
  });

  it("that was stopped while it cleared up is a model, and resuming clears up", async () => {
    const layers = await stopped(2);
    const files = new Map<string, Uint8Array>();
    await attempt(files, {});
    const whole = [...files];
    for (const name of saved(layers)) files.set(name, layers.get(name)!);
    expect(await codeOf(attempt(files, {}))).toBe("OutputExists");
    expect(saved(files)).toHaveLength(2);
    expect(await codeOf(attempt(files, { resume: true }))).toBe("OutputExists");
    expect([...files].toSorted()).toEqual(whole.toSorted());
  });

  it("converts again what is described otherwise than it was made", async () => {
    const expected = await attempt(new Map(), {});
    const files = await stopped(2);
    const [first] = saved(files);
    const bytes = files.get(first!)!.slice();
    const digit = Buffer.from(bytes).indexOf('keptEnergy\\":0.') + 'keptEnergy\\":0.'.length;
    expect(digit).toBeGreaterThan(100);
    bytes[digit] = bytes[digit] === 0x31 ? 0x32 : 0x31;
    files.set(first!, bytes);
    const report = await attempt(files, { resume: true });
    expect({ ...report, seconds: 0 }).toEqual({ ...expected, seconds: 0 });
  });
});
