import { packageBuild } from "../../tsup.base";

export default packageBuild({
  entry: ["src/main.ts", "src/serve-worker.ts"],
  format: ["esm"],
  dts: false,
});
