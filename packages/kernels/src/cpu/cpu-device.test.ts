import { conformance } from "../conformance";
import { cpuDevice } from "./cpu-device";

conformance("CPU device", () => cpuDevice());
