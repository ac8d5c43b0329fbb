import { defineConfig } from "vitest/config";

/** The built playground in Chromium: `npm run test:app`. Chromium comes from the system; see tools/software-gpu.ts. */
export default defineConfig({
  test: {
    include: ["apps/playground/src/e2e/*.e2e.ts"],
    testTimeout: 300_000,
    hookTimeout: 60_000,
    // One browser at a time: the conversions would only wait for each other.
    fileParallelism: false,
  },
});
