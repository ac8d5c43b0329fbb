import { playwright } from "@vitest/browser-playwright";
import { defineConfig } from "vitest/config";
import { chromiumPath } from "./tools/software-gpu.ts";
import { sourceAliases } from "./vitest.config.ts";

/**
 * The tests of the GPU devices in Node and in headless Chromium: `npm run test:webgpu`, `npm run test:gpujs`. Chromium comes from the system
 * (see tools/software-gpu.ts); without a graphics card it brings a software adapter.
 */
const args = [
  "--no-sandbox",
  "--enable-unsafe-webgpu",
  "--enable-unsafe-swiftshader",
  // As the device asks of Dawn in Node; see open-gpu.ts.
  "--enable-dawn-features=disable_workgroup_init",
];

const include = [
  "packages/kernels-webgpu/src/**/*.test.ts",
  "packages/kernels-gpujs/src/**/*.test.ts",
  "packages/training/src/webgpu.test.ts",
];

export default defineConfig({
  resolve: { alias: sourceAliases },
  test: {
    // Here a GPU must be found; without one the tests fail instead of being skipped.
    provide: { gpuRequired: true },
    projects: [
      {
        extends: true,
        test: {
          name: "node",
          include,
          testTimeout: 120_000,
          pool: "forks",
        },
      },
      {
        extends: true,
        test: {
          name: "chromium",
          include,
          testTimeout: 120_000,
          browser: {
            enabled: true,
            headless: true,
            provider: playwright({
              launchOptions: {
                executablePath: chromiumPath,
                args,
                ignoreDefaultArgs: ["--disable-gpu"],
              },
            }),
            instances: [{ browser: "chromium" }],
            screenshotFailures: false,
          },
        },
      },
    ],
  },
});
