import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const script = fileURLToPath(new URL("numpy_peer.py", import.meta.url));

/**
 * Python with numpy (OpenBLAS, LAPACK): `TRANSMLA_BENCH_PYTHON`, or `python3`. One JSON object per line each way.
 * `cpu` names the processor whose kernels OpenBLAS is to use instead of the best.
 */
export async function start({ threads, cpu, ...options }) {
  const python = process.env["TRANSMLA_BENCH_PYTHON"] ?? "python3";
  const child = spawn(python, [script], {
    stdio: ["pipe", "pipe", "ignore"],
    env: { ...process.env, ...threadVariables(threads), ...(cpu && { OPENBLAS_CORETYPE: cpu }) },
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  child.on("error", () => {});
  child.stdin.on("error", () => {});
  const call = async (message) => {
    child.stdin.write(`${JSON.stringify(message)}\n`);
    const { value, done } = await lines.next();
    if (done) throw new Error(`${python} has no numpy; name one that has in TRANSMLA_BENCH_PYTHON`);
    return JSON.parse(value);
  };
  return { facts: await call(options), run: call };
}

const threadVariables = (threads) => ({
  OPENBLAS_NUM_THREADS: String(threads),
  OMP_NUM_THREADS: String(threads),
});
