import { adjoint, complexMultiply, scaleComplexColumns } from "./complex";
import type { ComplexMatrix } from "./complex";
import { eigh } from "./eigh";
import type { SymmetricEigen } from "./eigh";
import { hermitianEigh } from "./hermitian";
import type { HermitianEigen } from "./hermitian";
import { scaleColumns, symmetricProduct } from "./matrix";
import type { Matrix } from "./matrix";
import { poweredSpectrum } from "./spectrum";
import type { SpectrumOptions } from "./spectrum";

function assemble({ vectors }: SymmetricEigen, powered: Float64Array): Matrix {
  return symmetricProduct(scaleColumns(vectors, powered), vectors);
}

function assembleHermitian({ vectors }: HermitianEigen, powered: Float64Array): ComplexMatrix {
  return complexMultiply(scaleComplexColumns(vectors, powered), adjoint(vectors));
}

/**
 * m^exponent of a symmetric positive semidefinite matrix, with eigenvalues floored and damped first
 * (see SpectrumOptions). Rounding-sized negative eigenvalues count as zero.
 *
 * @throws LowRankError ShapeMismatch, NonFinite, NotSymmetric, InvalidArgument,
 *   NotPositiveDefinite (clearly negative eigenvalues; a negative power of a singular matrix
 *   without floor or damping)
 */
export function symmetricPower(m: Matrix, exponent: number, options: SpectrumOptions = {}): Matrix {
  const eigen = eigh(m);
  return assemble(eigen, poweredSpectrum(eigen.values, exponent, options));
}

/**
 * m^(1/2) and m^(-1/2) from one decomposition; both see the same floored and damped eigenvalues, so
 * they are inverse to each other.
 *
 * @throws LowRankError as `symmetricPower`
 */
export function squareRoots(
  m: Matrix,
  options: SpectrumOptions = {},
): { readonly root: Matrix; readonly inverseRoot: Matrix } {
  const eigen = eigh(m);
  return {
    root: assemble(eigen, poweredSpectrum(eigen.values, 0.5, options)),
    inverseRoot: assemble(eigen, poweredSpectrum(eigen.values, -0.5, options)),
  };
}

/**
 * `symmetricPower` for a complex Hermitian matrix.
 *
 * @throws LowRankError as `symmetricPower`
 */
export function hermitianPower(
  m: ComplexMatrix,
  exponent: number,
  options: SpectrumOptions = {},
): ComplexMatrix {
  const eigen = hermitianEigh(m);
  return assembleHermitian(eigen, poweredSpectrum(eigen.values, exponent, options));
}

/**
 * `squareRoots` for a complex Hermitian matrix.
 *
 * @throws LowRankError as `symmetricPower`
 */
export function hermitianSquareRoots(
  m: ComplexMatrix,
  options: SpectrumOptions = {},
): { readonly root: ComplexMatrix; readonly inverseRoot: ComplexMatrix } {
  const eigen = hermitianEigh(m);
  return {
    root: assembleHermitian(eigen, poweredSpectrum(eigen.values, 0.5, options)),
    inverseRoot: assembleHermitian(eigen, poweredSpectrum(eigen.values, -0.5, options)),
  };
}
