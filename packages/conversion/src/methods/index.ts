import type { ConversionMethod } from "./method";
import { exactMethod } from "./exact-method";
import { outputAwareMethod } from "./output-aware/output-aware-method";
import { transmlaMethod } from "./transmla-method";

/** Conversion methods by name. A new one is one entry. */
export const methods = {
  exact: exactMethod,
  transmla: transmlaMethod,
  "output-aware": outputAwareMethod,
} as const satisfies Readonly<Record<string, ConversionMethod>>;

export type MethodName = keyof typeof methods;
