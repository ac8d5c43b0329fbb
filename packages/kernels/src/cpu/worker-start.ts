import { WORKER_SOURCE, type WorkerStart } from "./worker-source";

/**
 * Starts a thread of the pool; resolves once it takes calls, rejects if it cannot start. It does not keep the process
 * alive, and ends when the pool's `stop` is set.
 */
export function startWorker(start: WorkerStart): Promise<void> {
  return isNode() ? startInNode(start) : startInBrowser(start);
}

/** Why there can be no threads here; `undefined` if there can. */
export function threadObstacle(): string | undefined {
  if (typeof SharedArrayBuffer === "undefined") {
    return "there is no SharedArrayBuffer; a page needs the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp";
  }
  if (isNode()) return undefined;
  if (globalThis.crossOriginIsolated === false) {
    return "the page is not cross-origin isolated; it needs the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp";
  }
  return typeof Worker === "undefined" ? "there are no web workers here" : undefined;
}

function isNode(): boolean {
  return typeof process !== "undefined" && typeof process.versions?.node === "string";
}

async function startInNode(start: WorkerStart): Promise<void> {
  const { Worker } = await import("node:worker_threads");
  const worker = new Worker(WORKER_SOURCE, { eval: true, workerData: start, execArgv: [] });
  await new Promise<void>((resolve, reject) => {
    worker.once("message", () => resolve());
    worker.once("error", reject);
    worker.once("exit", () => reject(new Error("The worker ended before it was ready.")));
  });
  worker.removeAllListeners();
  worker.unref();
}

async function startInBrowser(start: WorkerStart): Promise<void> {
  const url = URL.createObjectURL(new Blob([WORKER_SOURCE], { type: "text/javascript" }));
  try {
    const worker = new Worker(url);
    await new Promise<void>((resolve, reject) => {
      worker.addEventListener("message", () => resolve());
      worker.addEventListener("error", ({ message }) => {
        reject(new Error(message || "The worker cannot start."));
      });
      worker.postMessage(start, []);
    });
  } finally {
    URL.revokeObjectURL(url);
  }
}
