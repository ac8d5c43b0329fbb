import { deepseekFormat } from "./deepseek";
import { deepseekBiasFreeFormat } from "./deepseek-bias-free";
import type { OutputFormat } from "./format";
import { nativeFormat } from "./native";

/** Layouts of converted models by name. A new one is one file and one entry. */
export const formats = {
  native: nativeFormat,
  deepseek: deepseekFormat,
  "deepseek-bias-free": deepseekBiasFreeFormat,
} as const satisfies Readonly<Record<string, OutputFormat>>;

export type FormatName = keyof typeof formats;
