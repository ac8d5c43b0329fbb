import { Incorrect, withContenders } from "../contender.mjs";
import { relaxedFlags } from "../engine.mjs";
import { expectedSample } from "../matrices.mjs";
import { interleave } from "../measure.mjs";
import { compare } from "../rows.mjs";

const group = "matrix product f32";

/** `[512, 576] x [576, 1536]`: the first feed-forward product of SmolLM2-135M over 512 tokens. */
export async function matmul({ quick, progress }) {
  const shape = quick
    ? { rows: 128, inner: 192, columns: 256 }
    : { rows: 512, inner: 576, columns: 1536 };
  const ours = (options, flags) => ({
    module: "ours-matmul",
    options: { shape, ...options },
    flags,
  });
  const ort = (library, threads) => ({
    module: "onnxruntime",
    options: { library, shape, threads },
  });
  const numpy = (threads, cpu) => ({ module: "numpy", options: { shape, threads, cpu } });
  const specs = {
    "simd128 x1": ours({ threads: 1, simd: "simd128" }),
    "simd128 x2": ours({ threads: 2, simd: "simd128" }),
    "relaxed x1": ours({ threads: 1, simd: "relaxed" }, relaxedFlags),
    "relaxed x2": ours({ threads: 2, simd: "relaxed" }, relaxedFlags),
    "onnxruntime-web x1": ort("onnxruntime-web", 1),
    "onnxruntime-web x2": ort("onnxruntime-web", 2),
    "onnxruntime-node x1": ort("onnxruntime-node", 1),
    "onnxruntime-node x2": ort("onnxruntime-node", 2),
    "tfjs-wasm": { module: "tfjs", options: { shape } },
    "OpenBLAS x1": numpy(1),
    "OpenBLAS x2": numpy(2),
    "OpenBLAS x1, AVX2": numpy(1, "Haswell"),
  };
  return withContenders(specs, async (contenders) => {
    checkSamples(contenders, expectedSample(shape));
    const repetitions = quick ? 3 : 11;
    const results = await interleave(contenders, { products: 3 }, { repetitions, progress });
    return rowsOf(results, 2e-9 * shape.rows * shape.inner * shape.columns);
  });
}

/** All contenders multiply the same numbers; ours must be right, and a peer that is not is no peer. */
function checkSamples(contenders, expected) {
  for (const [name, { facts }] of contenders) {
    if (!facts) continue;
    const worst = Math.max(...expected.map((value, i) => Math.abs(value - facts.sample[i])));
    if (!(worst < 1e-3)) throw new Incorrect(`matrix product of ${name} is off by ${worst}`);
  }
}

function rowsOf(results, gflop) {
  const row = (threads, mine, peer, target = {}) =>
    compare({
      group,
      name: `${threads === 1 ? "1 thread" : "2 threads"}, ${mine}`,
      ours: results.get(`${mine} x${threads}`),
      peer: results.get(peer),
      peerName: peer,
      unit: "GFLOP/s",
      value: (seconds) => gflop / seconds,
      ...target,
    });
  return [
    row(1, "simd128", "onnxruntime-web x1", { atLeast: 1.6 }),
    row(1, "simd128", "tfjs-wasm", { atLeast: 1.4 }),
    row(1, "simd128", "OpenBLAS x1", { atLeast: 0.37 }),
    row(1, "relaxed", "OpenBLAS x1", { atLeast: 0.45 }),
    row(2, "simd128", "simd128 x1", { atLeast: 1.8 }),
    row(2, "relaxed", "relaxed x1", { atLeast: 1.8 }),
    row(2, "simd128", "onnxruntime-web x2", { atLeast: 2.2 }),
    row(2, "relaxed", "onnxruntime-web x2", { atLeast: 3 }),
    row(1, "simd128", "onnxruntime-node x1"),
    row(2, "simd128", "onnxruntime-node x2"),
    row(2, "relaxed", "OpenBLAS x2"),
    row(1, "simd128", "OpenBLAS x1, AVX2"),
    row(1, "relaxed", "OpenBLAS x1, AVX2"),
  ];
}
