import { trainingConformance } from "../conformance";
import { referenceDevice } from "./reference-device";

trainingConformance("the reference device", referenceDevice);
