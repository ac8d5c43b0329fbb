import { copyFile } from "node:fs/promises";
import { packageBuild } from "../../tsup.base";

export default packageBuild({
  entry: { index: "src/index.ts", conformance: "src/conformance/index.ts" },
  onSuccess: () => copyFile("src/cpu/generated/simd128.wasm", "dist/simd128.wasm"),
});
