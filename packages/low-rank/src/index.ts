export { LowRankError, lowRankErrors } from "./errors";
export type { LowRankErrorCode } from "./errors";
export {
  add,
  blockDiagonal,
  columnSlice,
  diagonal,
  diagonalOf,
  frobeniusNorm,
  gram,
  identity,
  matrix,
  multiply,
  multiplyTransposedLeft,
  multiplyTransposedRight,
  rowSlice,
  scaleColumns,
  scaleRows,
  symmetricForm,
  trace,
  transpose,
} from "./matrix";
export type { Matrix } from "./matrix";
export { Moments } from "./moments";
export type { Gram, MomentsOptions } from "./moments";
export { eigh, leadingEigen } from "./eigh";
export type { LeadingEigen, SymmetricEigen } from "./eigh";
export { svd } from "./svd";
export type { Svd } from "./svd";
export {
  adjoint,
  complexMatrix,
  complexMultiply,
  imaginaryPart,
  realPart,
  scaleComplexColumns,
} from "./complex";
export type { ComplexMatrix } from "./complex";
export { hermitianEigh } from "./hermitian";
export type { HermitianEigen } from "./hermitian";
export { complexSvd } from "./complex-svd";
export type { ComplexSvd } from "./complex-svd";
export { hermitianPower, hermitianSquareRoots, squareRoots, symmetricPower } from "./powers";
export type { SpectrumOptions } from "./spectrum";
export { solveSymmetric, solveSymmetricInPlace } from "./solve";
export type { SolveOptions } from "./solve";
export { pca, weightedError, weightedLowRank } from "./weighted";
export type { LowRankFactors, Pca, WeightedLowRankOptions, WeightedProblem } from "./weighted";
export { conjugateGradients } from "./conjugate-gradients";
export type { ConjugateGradientOptions, SymmetricOperator } from "./conjugate-gradients";
