import { matrices, SAMPLE, sampleStart } from "../matrices.mjs";
import { matmulModel } from "./onnx-model.mjs";

/** ONNX Runtime, the WebAssembly one or the native one: `library` is "onnxruntime-web" or "onnxruntime-node". */
export async function start({ library, shape, threads }) {
  const ort = await import(library);
  const { InferenceSession, Tensor, env } = ort.default ?? ort;
  const web = library === "onnxruntime-web";
  if (web) env.wasm.numThreads = threads;
  const { x, w } = matrices(shape);
  const session = await InferenceSession.create(matmulModel(shape, w), {
    executionProviders: [web ? "wasm" : "cpu"],
    ...(!web && { intraOpNumThreads: threads, interOpNumThreads: 1 }),
  });
  const feeds = { x: new Tensor("float32", x, [shape.rows, shape.inner]) };
  const first = (await session.run(feeds)).y.data;
  const from = sampleStart(shape);
  return {
    facts: { sample: Float32Array.from(first.subarray(from, from + SAMPLE)) },
    run: async ({ products }) => {
      const started = performance.now();
      for (let i = 0; i < products; i++) await session.run(feeds);
      return { seconds: (performance.now() - started) / 1e3 / products };
    },
  };
}
