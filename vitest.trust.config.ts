import { defineConfig } from "vitest/config";
import { TrustReporter } from "./tools/trust/reporter.ts";
import { sourceAliases } from "./vitest.config.ts";

/** What is broken on purpose, a suite after the other: some measure memory, some time. */
export default defineConfig({
  resolve: { alias: sourceAliases },
  test: {
    include: [
      "attacks/**/*.trust.ts",
      "tools/trust/**/*.trust.ts",
      "packages/server/src/**/*.endurance.ts",
      "packages/server/src/node/reliability.test.ts",
    ],
    testTimeout: 600_000,
    fileParallelism: false,
    pool: "forks",
    disableConsoleIntercept: true,
    reporters: ["default", new TrustReporter()],
  },
});
