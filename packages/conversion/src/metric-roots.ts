import { identity, squareRoots, trace, type Matrix } from "@transmla/low-rank";

/**
 * Square roots of a second moment by which errors are measured, eigenvalues below `floor` times their mean counting as that. Of weights that
 * are zero nothing is measured: then all directions count alike.
 *
 * @throws LowRankError as `squareRoots`
 */
export function metricRoots(
  metric: Matrix,
  floor: number,
): { readonly root: Matrix; readonly inverseRoot: Matrix } {
  if (trace(metric) > 0) return squareRoots(metric, { floor });
  const root = identity(metric.rows);
  return { root, inverseRoot: root };
}
