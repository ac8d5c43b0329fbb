import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { readmeExamples } from "./tools/readme-examples.ts";
import { hasSoftwareGpu, offerSoftwareGpu } from "./tools/software-gpu.ts";

offerSoftwareGpu();

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Tests run on the sources, so that a failing line is a line someone wrote. */
export const sourceAliases = [
  {
    find: /^@transmla\/kernels\/conformance$/,
    replacement: at("./packages/kernels/src/conformance/index.ts"),
  },
  { find: /^@transmla\/server\/node$/, replacement: at("./packages/server/src/node/index.ts") },
  { find: /^@transmla\/([a-z-]+)$/, replacement: at("./packages/$1/src/index.ts") },
];

export default defineConfig({
  plugins: [readmeExamples()],
  resolve: { alias: sourceAliases },
  test: {
    include: ["packages/*/src/**/*.test.ts", "apps/*/src/**/*.test.ts", "tools/**/*.test.ts"],
    testTimeout: 60_000,
    pool: "forks",
    maxWorkers: 2,
    // Fused multiply-adds as later engines have them: Node 20 knows them behind a flag. Tests of kernels ask for both builds.
    execArgv: process.versions.node.startsWith("20.") ? ["--experimental-wasm-relaxed-simd"] : [],
    // Where there is one in software, tests that find no GPU fail instead of being skipped.
    provide: { gpuRequired: hasSoftwareGpu },
  },
});
