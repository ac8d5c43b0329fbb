// `node src/low-rank.mjs [size]`: what @transmla/low-rank does beside numpy (OpenBLAS and LAPACK, one thread) and ml-matrix, in
// turns. The group "low-rank" of the bench has the rows with targets; this has the parts they are made of.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { Moments, eigh, leadingEigen, matrix, multiply, svd } from "@transmla/low-rank";
import { EigenvalueDecomposition, Matrix, SingularValueDecomposition } from "ml-matrix";
import { symmetric } from "./symmetric.mjs";

const size = Number(process.argv[2] ?? 1024);
const half = size >> 1;
const rank = size >> 3;
const rounds = 5;

/** Evaluates expressions on `a`, `[size, size]`; answers with seconds. */
const PYTHON = `
import json, sys, time
import numpy as np
size = int(sys.argv[1])
a = np.frombuffer(sys.stdin.buffer.read(8 * size * size)).reshape(size, size)
h = np.ascontiguousarray(a[: size // 2, : size // 2])
print("ready", flush=True)
for line in sys.stdin.buffer:
    code = compile(line.decode(), "task", "eval")
    started = time.perf_counter()
    eval(code)
    print(time.perf_counter() - started, flush=True)
`;

const data = symmetric(size);
const corner = Float64Array.from(
  { length: half * half },
  (_, i) => data[Math.floor(i / half) * size + (i % half)],
);
const [a, h] = [matrix(size, size, data), matrix(half, half, corner)];
const peerA = Matrix.from1DArray(size, size, data);
const peerH = Matrix.from1DArray(half, half, corner);
const samples = Float32Array.from(data);

const numpy = await startNumpy();
const tasks = [
  {
    name: `product, ${size}`,
    ours: () => multiply(a, a),
    numpy: "a @ a",
    mlMatrix: () => peerA.mmul(peerA),
  },
  {
    name: `moments, ${size} samples of ${size}`,
    ours: () => new Moments(size).add(samples),
    numpy: "np.cov(a, rowvar=False)",
  },
  {
    name: `eigh, ${size}`,
    ours: () => eigh(a),
    numpy: "np.linalg.eigh(a)",
    mlMatrix: () => new EigenvalueDecomposition(peerA, { assumeSymmetric: true }),
  },
  {
    name: `leadingEigen, ${rank} of ${size}`,
    ours: () => leadingEigen(a, rank),
    numpy: "np.linalg.eigh(a)",
  },
  {
    name: `svd, ${half}`,
    ours: () => svd(h),
    numpy: "np.linalg.svd(h, full_matrices=False)",
    mlMatrix: () => new SingularValueDecomposition(peerH),
  },
];

const table = [];
for (const task of tasks) {
  const seconds = { ours: [], numpy: [], mlMatrix: [] };
  for (let warmup = 0; warmup < 3; warmup += 1) task.ours();
  for (let round = 0; round < rounds; round += 1) {
    seconds.ours.push(timed(task.ours));
    if (numpy) seconds.numpy.push(await numpy.run(task.numpy));
    // Seconds each at full size: once is enough to see a factor of ten.
    if (task.mlMatrix && round === 0) seconds.mlMatrix.push(timed(task.mlMatrix));
  }
  const [ours, lapack, mlMatrix] = Object.values(seconds).map(median);
  table.push({
    task: task.name,
    "ours, ms": rounded(ours * 1e3),
    "numpy, ms": rounded(lapack * 1e3),
    "ml-matrix, ms": rounded(mlMatrix * 1e3),
    "ours / numpy": rounded(ours / lapack),
    "ml-matrix / ours": rounded(mlMatrix / ours),
  });
}
console.table(table);
numpy?.close();

function timed(run) {
  const started = performance.now();
  run();
  return (performance.now() - started) / 1e3;
}

function median(values) {
  return values.toSorted((x, y) => x - y)[values.length >> 1];
}

function rounded(value) {
  return value === undefined || Number.isNaN(value) ? "–" : Number(value.toPrecision(3));
}

/** Python with numpy: `TRANSMLA_BENCH_PYTHON`, or `python3`; undefined where there is none. */
async function startNumpy() {
  const python = process.env["TRANSMLA_BENCH_PYTHON"] ?? "python3";
  const child = spawn(python, ["-c", PYTHON, String(size)], {
    stdio: ["pipe", "pipe", "ignore"],
    env: { ...process.env, OPENBLAS_NUM_THREADS: "1", OMP_NUM_THREADS: "1" },
  });
  child.on("error", () => {});
  child.stdin.on("error", () => {});
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  child.stdin.write(new Uint8Array(data.buffer));
  if ((await lines.next()).done) {
    console.log(`${python} has no numpy; name one that has in TRANSMLA_BENCH_PYTHON`);
    return undefined;
  }
  const run = async (expression) => {
    child.stdin.write(`${expression}\n`);
    return Number((await lines.next()).value);
  };
  return { run, close: () => child.stdin.end() };
}
