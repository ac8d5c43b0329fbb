import { copyFile } from "node:fs/promises";
import { packageBuild } from "../../tsup.base";

export default packageBuild({
  entry: { index: "src/index.ts", conformance: "src/conformance/index.ts" },
  onSuccess: async () => {
    for (const name of ["simd128", "relaxed"]) {
      await copyFile(`src/cpu/generated/${name}.wasm`, `dist/${name}.wasm`);
    }
  },
});
