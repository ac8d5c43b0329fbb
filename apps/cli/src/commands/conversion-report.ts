import { totalmem } from "node:os";
import {
  diskNeeds,
  memoryNeeds,
  type ConversionPlan,
  type ConversionReport,
} from "@transmla/conversion";
import type { Result } from "../command";
import type { LocatedModel } from "../model-location";
import { bytes, count, duration, percent } from "../terminal/format";
import { properties, table } from "../terminal/table";
import type { Terminal } from "../terminal/terminal";

/** A conversion of which everything is known but its result. */
export interface ConversionJob {
  readonly model: LocatedModel;
  readonly plan: ConversionPlan;
  readonly out: string;
  readonly calibration: readonly Int32Array[];
  readonly companions: ReadonlyMap<string, Uint8Array>;
  /** Everything that will be written. */
  readonly fileNames: readonly string[];
  /** Bytes free on the disk of the output. */
  readonly freeDisk: number;
}

/** Tells a person what a conversion did. */
export function printReport(
  terminal: Terminal,
  job: ConversionJob,
  report: ConversionReport,
  seconds: number,
): void {
  const { dim } = terminal.colour;
  const { freqFold, ladderStep, layers, calibrationTokens } = report;
  const differ = layers.some((layer) => layer.kvLoraRank !== layers[0]!.kvLoraRank);
  const fold = freqFold === undefined ? "" : `, FreqFold ${freqFold}`;
  const ladder = ladderStep === undefined ? "" : `, frequencies in steps of ${ladderStep}`;
  const method = `${report.method}${fold}${ladder}`;
  terminal.print(...summary(terminal, job, { ...report, method }, differ), "");
  if (calibrationTokens > 0) {
    const rows = layers.map(({ layer, kvLoraRank, ropeDim, keptEnergy, outputError }) => [
      String(layer),
      String(kvLoraRank),
      String(ropeDim),
      percent(keptEnergy, 2),
      percent(outputError, 2),
    ]);
    const columns = ["layer", "latent", "rotated", "energy kept", "output error"].map(
      (heading) => ({ heading, align: "right" }) as const,
    );
    terminal.print(...table(columns, rows, dim), "");
  }
  for (const warning of report.warnings) terminal.warn(warning);
  const size = bytes(report.outputBytes);
  terminal.print(`Wrote ${job.out} (${size}) in ${duration(seconds)}.`);
  const text = job.model.isSample ? "" : " --text FILE";
  terminal.note(`Next: transmla compare ${job.model.name} ${job.out}${text}`);
}

type Described = Pick<ConversionReport, "method" | "calibrationTokens" | "kvLoraRank" | "ropeDim">;

/** What is converted into what: the part that a plan and a report share. */
function summary(
  { colour }: Terminal,
  { model, plan, out }: ConversionJob,
  { method, calibrationTokens, kvLoraRank, ropeDim }: Described,
  differ: boolean,
): string[] {
  const { cacheBefore, cacheAfter } = plan;
  const kept = percent(cacheAfter / cacheBefore);
  const inTheMean = differ ? " in the mean" : "";
  const calibration = calibrationTokens > 0 ? `${count(calibrationTokens)} tokens` : "none needed";
  return [
    colour.bold(`${model.name} → ${out}`),
    ...properties(
      [
        ["method", method],
        ["format", plan.format],
        ["latent", `${kvLoraRank} and ${ropeDim} rotated, per token and layer${inTheMean}`],
        ["KV cache", `${count(cacheBefore)} → ${count(cacheAfter)} numbers per token (${kept})`],
        ["calibration", calibration],
      ],
      colour.dim,
    ),
  ];
}

/** Says before work starts that it may take more memory than the machine has. */
export function warnOfMemory(terminal: Terminal, { plan, calibration }: ConversionJob): void {
  const needed = memoryNeeds(
    plan,
    calibration.reduce((sum, { length }) => sum + length, 0),
  );
  if (needed <= totalmem()) return;
  terminal.warn(
    `the conversion takes about ${bytes(needed)} of memory and this machine has ${bytes(totalmem())}. Fewer --samples need less.`,
  );
}

/** Tells what a conversion would do, to a person and as the result. */
export function printPlan(terminal: Terminal, job: ConversionJob): Result {
  const { plan, calibration, freeDisk } = job;
  const { sizes, shards, tensors, cacheBefore, cacheAfter } = plan;
  const calibrationTokens = calibration.reduce((sum, { length }) => sum + length, 0);
  const fold = sizes.freqFold === "auto" ? ", FreqFold chosen on the text" : "";
  const split = sizes.ropeDimCandidates ? ", rotated part chosen on the text" : "";
  const { layersDiffer = false } = sizes;
  const perLayer = layersDiffer ? ", sizes of layers too" : "";
  const method = `${plan.method}${fold}${split}${perLayer}`;
  terminal.print(
    ...summary(terminal, job, { ...sizes, method, calibrationTokens }, layersDiffer),
    "",
  );
  const columns = (["left", "left", "left", "right", "left"] as const).map((align, index) => ({
    heading: ["tensor", "shape", "type", "×", ""][index]!,
    align,
  }));
  terminal.print(...table(columns, tensorRows(plan), terminal.colour.dim), "");
  const files = shards.shards.map(({ file, plan: { byteLength } }) => ({
    file,
    bytes: byteLength,
  }));
  const outputBytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const fileCount = `${files.length} file${files.length === 1 ? "" : "s"}`;
  const { output, layers } = diskNeeds(plan);
  const memoryBytes = memoryNeeds(plan, calibrationTokens);
  terminal.print(
    `Memory: about ${bytes(memoryBytes)} at the most, of ${bytes(totalmem())} here.`,
    `Disk: ${bytes(output + layers)} while it works (${bytes(layers)} of finished layers go again), ${bytes(freeDisk)} free.`,
    `Would write ${count(tensors.length)} tensors in ${fileCount}, ${bytes(outputBytes)}. Nothing was written.`,
  );
  return {
    dryRun: true,
    method: plan.method,
    format: plan.format,
    ...sizes,
    cacheBefore,
    cacheAfter,
    keptFraction: cacheAfter / cacheBefore,
    calibrationTokens,
    outputBytes,
    diskBytes: output + layers,
    freeDiskBytes: freeDisk,
    memoryBytes,
    files,
    tensors: tensors.map(({ name, shape, dtype, convertedLayer }) => ({
      name,
      shape,
      dtype: dtype.toLowerCase(),
      source: convertedLayer === undefined ? "copied" : "converted",
    })),
  };
}

/** Tensors that differ only in their layer share a row. */
function tensorRows({ tensors }: ConversionPlan): string[][] {
  const rows = new Map<string, { cells: string[]; copies: number; source: string }>();
  for (const { name, shape, dtype, convertedLayer } of tensors) {
    const cells = [name.replace(/\.\d+\./, ".*."), `[${shape.join(", ")}]`, dtype.toLowerCase()];
    const key = cells.join(" ");
    const source = convertedLayer === undefined ? "copy" : "new";
    rows.set(key, { cells, copies: (rows.get(key)?.copies ?? 0) + 1, source });
  }
  return Array.from(rows.values(), ({ cells, copies, source }) => [
    ...cells,
    String(copies),
    source,
  ]);
}
