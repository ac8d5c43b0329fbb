import { Incorrect, withContenders } from "../contender.mjs";
import { interleave } from "../measure.mjs";
import { compare, milliseconds } from "../rows.mjs";

const group = "low-rank float64";

/** Eigendecomposition of a symmetric matrix, vectors included. */
export async function lowRank({ quick, progress }) {
  const size = quick ? 200 : 1024;
  const specs = {
    ours: { module: "ours-eigh", options: { size } },
    "LAPACK dsyevd x1": { module: "numpy", options: { size, threads: 1 } },
    "ml-matrix": { module: "ml-matrix", options: { size } },
  };
  return withContenders(specs, async (contenders) => {
    checkLargest(contenders);
    const only = (...names) => new Map(names.map((name) => [name, contenders.get(name)]));
    const quickOnes = only("ours", "LAPACK dsyevd x1");
    const results = await interleave(quickOnes, {}, { repetitions: quick ? 3 : 5, progress });
    // Minutes would not make it a tenth as fast.
    const slow = await interleave(
      only("ml-matrix"),
      {},
      { repetitions: quick ? 2 : 1, warmups: 0, progress },
    );
    const row = (peerName, peer, target) =>
      compare({
        group,
        name: `eigh, n = ${size}, 1 thread`,
        ours: results.get("ours"),
        peer,
        peerName,
        unit: target.atMost ? "ms" : "decompositions/s",
        value: target.atMost ? milliseconds : (seconds) => 1 / seconds,
        ...target,
      });
    return [
      row("LAPACK dsyevd x1", results.get("LAPACK dsyevd x1"), { atMost: 3 }),
      row("ml-matrix", slow.get("ml-matrix"), { atLeast: 10 }),
    ];
  });
}

function checkLargest(contenders) {
  const ours = contenders.get("ours").facts;
  const peer = contenders.get("LAPACK dsyevd x1").facts;
  if (!ours || !peer) return;
  if (Math.abs(ours.largest - peer.largest) < 1e-9 * peer.largest) return;
  throw new Incorrect(`the largest eigenvalue is ${ours.largest}, not ${peer.largest}`);
}
