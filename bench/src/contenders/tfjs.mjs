import * as tf from "@tensorflow/tfjs-core";
import { setWasmPaths } from "@tensorflow/tfjs-backend-wasm";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { matrices, SAMPLE, sampleStart } from "../matrices.mjs";

/** TensorFlow.js on WebAssembly, which has no threads in Node. */
export async function start({ shape }) {
  const folder = dirname(fileURLToPath(import.meta.resolve("@tensorflow/tfjs-backend-wasm")));
  setWasmPaths(`${folder}/`);
  await tf.setBackend("wasm");
  const { x, w } = matrices(shape);
  const left = tf.tensor2d(x, [shape.rows, shape.inner]);
  const right = tf.tensor2d(w, [shape.inner, shape.columns]);
  const first = tf.matMul(left, right);
  const from = sampleStart(shape);
  const sample = first.dataSync().slice(from, from + SAMPLE);
  first.dispose();
  return {
    facts: { sample },
    run: ({ products }) => {
      const started = performance.now();
      for (let i = 0; i < products; i++) tf.matMul(left, right).dispose();
      return { seconds: (performance.now() - started) / 1e3 / products };
    },
  };
}
