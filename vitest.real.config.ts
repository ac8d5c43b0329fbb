import { defineConfig } from "vitest/config";
import { sourceAliases } from "./vitest.config.ts";

/** Checks on a real 135M model. Minutes, not seconds: they run one after the other and alone. */
export default defineConfig({
  resolve: { alias: sourceAliases },
  test: {
    include: ["tools/real/**/*.real.ts"],
    testTimeout: 3_600_000,
    fileParallelism: false,
    disableConsoleIntercept: true,
  },
});
