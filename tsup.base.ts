import { defineConfig, type Options } from "tsup";

/** The build every package shares: ESM and CommonJS with declarations, nothing of ours bundled twice. */
export function packageBuild(options: Options = {}) {
  return defineConfig({
    entry: ["src/index.ts"],
    format: ["esm", "cjs"],
    dts: true,
    clean: true,
    sourcemap: true,
    target: "es2022",
    treeshake: true,
    // The prefix keeps Node's modules recognisable to bundlers, which switch them off by it.
    removeNodeProtocol: false,
    ...options,
  });
}
