import { defineConfig } from "vitest/config";
import { sourceAliases } from "./vitest.config.ts";

/** What a server goes through in days, in minutes. It measures memory, so that it runs alone. */
export default defineConfig({
  resolve: { alias: sourceAliases },
  test: {
    include: ["packages/server/src/**/*.endurance.ts"],
    testTimeout: 600_000,
    fileParallelism: false,
    pool: "forks",
    disableConsoleIntercept: true,
  },
});
