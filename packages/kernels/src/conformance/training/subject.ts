import type { TrainingDevice } from "../../training-device";
import type { Subject } from "../expectations";

/** A device that trains, under test. */
export type TrainingSubject = Subject<TrainingDevice>;
