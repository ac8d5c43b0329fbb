import { computed, signal } from "@preact/signals";
import type { OpenedModel } from "../worker/description";
import type { DeviceReport } from "../worker/devices";

/** What computes; undefined until the worker is there. */
export const device = signal<DeviceReport | undefined>(undefined);

/** The two models of the worker's bench. */
export const original = signal<OpenedModel | undefined>(undefined);
export const converted = signal<OpenedModel | undefined>(undefined);

export const models = computed(() =>
  [original.value, converted.value].filter((model) => model !== undefined),
);
