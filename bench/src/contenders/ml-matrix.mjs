import { EigenvalueDecomposition, Matrix } from "ml-matrix";
import { symmetric } from "../symmetric.mjs";

export async function start({ size }) {
  const data = symmetric(size);
  const m = Matrix.from1DArray(size, size, data);
  return {
    facts: {},
    run: () => {
      const started = performance.now();
      const { realEigenvalues } = new EigenvalueDecomposition(m, { assumeSymmetric: true });
      return { seconds: (performance.now() - started) / 1e3, largest: realEigenvalues.at(-1) };
    },
  };
}
