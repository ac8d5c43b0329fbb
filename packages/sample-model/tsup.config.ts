import { packageBuild } from "../../tsup.base";

/** `shims` gives `import.meta.url` a value in the CommonJS build. */
export default packageBuild({ shims: true });
