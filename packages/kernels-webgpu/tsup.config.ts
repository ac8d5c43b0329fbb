import { packageBuild } from "../../tsup.base";

// The declarations name types of WebGPU, which TypeScript's own library lacks.
export default packageBuild({ dts: { banner: '/// <reference types="@webgpu/types" />' } });
