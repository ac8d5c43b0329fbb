import { conformance } from "../conformance";
import { referenceDevice } from "./reference-device";

conformance("reference device", () => referenceDevice(), { tolerance: 1e-5 });
