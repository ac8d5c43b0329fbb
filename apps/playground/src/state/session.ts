import { signal } from "@preact/signals";
import type { Divergence } from "@transmla/evaluation";
import { call } from "../client";
import type { DeviceName } from "../worker/devices";
import type { ConversionChoice, ConversionOutcome } from "../worker/operations/convert";
import type { LayerSpectrum } from "../worker/operations/spectra";
import type { ModelChoice } from "../worker/sources";
import type { Place } from "../worker/workbench";
import { converted, device, models, original } from "./bench";
import { problem, runTask } from "./task";
import { forgetWriting } from "./writing";

/** A conversion of the original that is open, with what was measured of it. */
export interface Trial {
  readonly choice: ConversionChoice;
  readonly outcome: ConversionOutcome;
  readonly measured?: Divergence | undefined;
}

/** All conversions of the original since it was opened, in order. */
export const trials = signal<readonly Trial[]>([]);

/** What the converted model measured against the original; of a model that was opened, too. */
export const measured = signal<Divergence | undefined>(undefined);

export const spectra = signal<{ readonly [At in Place]?: readonly LayerSpectrum[] | undefined }>(
  {},
);

/** Models that this browser keeps. */
export const kept = signal<readonly string[]>([]);

/** Tokens of the held-out text that are measured. */
const HELD_OUT = 2048;

export async function useDevice(name: DeviceName): Promise<void> {
  const report = await runTask("Opening the device", () => call("start", { device: name }));
  if (report) device.value = report;
}

/** What the page does when it is there: opens the CPU device and looks for kept models. */
export async function begin(): Promise<void> {
  await useDevice("cpu");
  kept.value = await call("kept", {}).catch(() => []);
}

export async function open(choice: ModelChoice): Promise<boolean> {
  const model = await runTask("Opening the model", ({ signal: stop, onProgress }) =>
    call("open", choice, { signal: stop, onEvent: onProgress }),
  );
  if (!model) return false;
  forgetWriting();
  measured.value = undefined;
  if (model.place === "original") {
    [original.value, converted.value, trials.value, spectra.value] = [model, undefined, [], {}];
  } else {
    converted.value = model;
    spectra.value = { original: spectra.value.original };
    if (original.value) await measureConverted();
  }
  return true;
}

/** Converts, then measures and looks at the spectra. */
export async function convert(choice: ConversionChoice): Promise<boolean> {
  const outcome = await runTask("Converting", ({ signal: stop, onProgress }) =>
    call("convert", choice, { signal: stop, onEvent: onProgress }),
  );
  if (!outcome) return false;
  forgetWriting();
  converted.value = outcome.model;
  trials.value = [...trials.value, { choice, outcome }];
  measured.value = undefined;
  spectra.value = { original: spectra.value.original };
  const result = await measureConverted();
  if (result) trials.value = [...trials.value.slice(0, -1), { choice, outcome, measured: result }];
  await lookAtSpectra();
  return true;
}

/** Parts of the cache that are worth knowing for a curve. */
const CURVE = [0.5, 0.25, 0.125];

/** Those of them that have not been tried yet with the settings of the last conversion. */
export function untriedSizes(): readonly number[] {
  const last = trials.value.at(-1);
  if (!last || last.choice.method === "exact") return [];
  const same = trials.value.filter(({ choice }) => choice.method === last.choice.method);
  const tried = new Set(same.map(({ choice }) => choice.keep));
  return CURVE.filter((keep) => !tried.has(keep));
}

/** Converts to the sizes that are missing on the curve, with the settings of the last conversion, until one is stopped. */
export async function tryOtherSizes(): Promise<void> {
  const { choice } = trials.value.at(-1)!;
  for (const keep of untriedSizes()) {
    if (!(await convert({ ...choice, keep, ropeDim: undefined }))) return;
  }
}

export async function measureConverted(): Promise<Divergence | undefined> {
  const result = await runTask("Measuring", ({ signal: stop, onProgress }) =>
    call("measure", { tokens: HELD_OUT }, { signal: stop, onEvent: onProgress }),
  );
  if (result) measured.value = result;
  return result;
}

export async function lookAtSpectra(): Promise<void> {
  for (const { place } of models.value) {
    if (spectra.value[place]) continue;
    const result = await runTask("Looking at what is cached", ({ signal: stop, onProgress }) =>
      call("spectra", { place }, { signal: stop, onEvent: onProgress }),
    );
    if (!result) return;
    spectra.value = { ...spectra.value, [place]: result.layers };
  }
}

/** Removes a model that the browser keeps. */
export async function removeKept(name: string): Promise<void> {
  const names = await runTask("Removing", () => call("removeKept", { name }));
  if (names) kept.value = names;
}

/** Shows a failure of the page's own. */
export function complain(message: string): void {
  problem.value = { code: "NoModelChosen", message };
}
