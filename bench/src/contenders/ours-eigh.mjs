import { eigh, frobeniusNorm, matrix, multiply, scaleColumns, transpose } from "@transmla/low-rank";
import { symmetric } from "../symmetric.mjs";
import { expectClose } from "./incorrect.mjs";

/** `eigh` of `@transmla/low-rank`, on one thread. */
export async function start({ size }) {
  check(eigh, 65);
  const data = symmetric(size);
  const m = matrix(size, size, data);
  return {
    facts: { largest: eigh(m).values[0] },
    run: () => {
      const started = performance.now();
      eigh(m);
      return { seconds: (performance.now() - started) / 1e3 };
    },
  };
}

/** `m = V diag(values) V^T` with orthogonal `V`. */
function check(decompose, size) {
  const m = matrix(size, size, symmetric(size));
  const { values, vectors } = decompose(m);
  const rebuilt = multiply(scaleColumns(vectors, values), transpose(vectors));
  expectClose("eigh, rebuilt matrix", rebuilt.data, m.data, 1e-12);
  const norm = frobeniusNorm(multiply(transpose(vectors), vectors));
  expectClose("eigh, norm of V^T V", [norm], [Math.sqrt(size)], 1e-12);
}
