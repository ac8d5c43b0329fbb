/** How far a conversion is: `done` of `total` units in the phase. */
export interface ConversionProgress {
  readonly phase: "choosing freqfold" | "choosing the split" | "choosing sizes" | "converting";
  readonly done: number;
  readonly total: number;
  readonly unit: string;
}
