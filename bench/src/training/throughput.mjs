import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { cpuDevice } from "@transmla/kernels";
import { modelFolderPath } from "@transmla/sample-model";
import { BatchStream, textDocuments, TrainableModel, Trainer } from "@transmla/training";

const DOCUMENTS = 8;
const TOKENS = 256;
const ROUNDS = 12;
/** Steps that are made before anything is measured. */
const WARM = 2;

/** The sample model beside PyTorch, a step each in turns, with one and with two threads. */
export async function throughput({ files, calibration }, { progress }) {
  const rows = [];
  for (const threads of [1, 2]) {
    const peer = startPeer(threads);
    const device = await cpuDevice({ threads });
    const model = await TrainableModel.load(files, device, { train: "all" });
    const documents = textDocuments(calibration, TOKENS);
    const data = new BatchStream(documents, { tokens: DOCUMENTS * TOKENS, seed: 1 });
    const options = { objective: { crossEntropy: 1 }, steps: ROUNDS, rate: 1e-4 };
    const trainer = new Trainer(model, data, options);
    const [ours, theirs] = [[], []];
    for (let round = 0; round < ROUNDS; round++) {
      progress(`${threads} threads: step ${round + 1} of ${ROUNDS}`);
      const { tokens, seconds } = await trainer.next();
      ours.push(tokens / seconds);
      const step = await peer.next();
      if (step === undefined) break;
      theirs.push(step);
    }
    peer.stop();
    device.destroy();
    const [own, other] = [median(ours.slice(WARM)), median(theirs.slice(WARM))];
    rows.push({ threads, ours: own, pytorch: other, ratio: own / other, simd: device.simd });
  }
  return { settings: { documents: DOCUMENTS, tokens: TOKENS }, rows };
}

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

function startPeer(threads) {
  const python = process.env["TRANSMLA_BENCH_PYTHON"] ?? "python3";
  const script = fileURLToPath(new URL("torch_peer.py", import.meta.url));
  const sizes = [threads, DOCUMENTS, TOKENS, ROUNDS].map(String);
  const child = spawn(python, [script, modelFolderPath(), ...sizes], {
    stdio: ["pipe", "pipe", "ignore"],
    env: { ...process.env, HF_HUB_OFFLINE: "1", OMP_NUM_THREADS: String(threads) },
  });
  child.on("error", () => {});
  child.stdin.on("error", () => {});
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  let first = true;
  return {
    /** Tokens per second of the next step, which begins now. Nothing without PyTorch. */
    async next() {
      if (!first) child.stdin.write("\n");
      first = false;
      const { value, done } = await lines.next();
      return done ? undefined : JSON.parse(value).tokensPerSecond;
    },
    stop: () => child.kill(),
  };
}
