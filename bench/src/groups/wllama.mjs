import { withContenders } from "../contender.mjs";
import { interleave, quickest } from "../measure.mjs";
import { ggufModel, safetensorsModel } from "../model/models.mjs";
import { oursSpec } from "../model/specs.mjs";
import { compare, per } from "../rows.mjs";

const group = "wllama in Chromium";
const CONTEXT = 128;

/** Decoding behind, and prefill of, 128 tokens: ours in Node, wllama at its best setting. */
export async function wllama({ quick, progress }) {
  const ours = { ...oursSpecs(await safetensorsModel(quick)) };
  const peers = {};
  // F16 decodes at half the speed of F32 there, so the second thread is spent on F32 alone.
  const settings = [
    ["F32", 1],
    ["F32", 2],
    ["F16", 1],
  ];
  for (const [type, threads] of settings) {
    const path = await ggufModel(quick, type);
    peers[`wllama ${type} x${threads}`] = { module: "wllama", options: { path, threads } };
  }
  const tokens = 8;
  const task = (kind) => (name) => {
    if (name.startsWith("wllama")) return { prompt: CONTEXT, tokens };
    return kind === "decode" ? { kind, context: CONTEXT, tokens } : { kind, tokens: CONTEXT };
  };
  const options = { repetitions: quick ? 1 : 3, progress };
  return withContenders({ ...ours, ...peers }, async (contenders) => {
    const decoding = await interleave(contenders, task("decode"), options);
    const only = new Map([...contenders].filter(([name]) => name in ours));
    const prefill = await interleave(only, task("prefill"), options);
    for (const name of Object.keys(peers)) prefill.set(name, prefillOf(decoding.get(name)));
    const row = (name, results, atLeast) =>
      compare({
        group,
        name,
        ours: quickest(results, Object.keys(ours)),
        peer: quickest(results, Object.keys(peers)),
        unit: "tokens/s",
        value: per(1),
        atLeast,
      });
    return [
      row(`decode, context ${CONTEXT}`, decoding, 4),
      row(`prefill, ${CONTEXT} tokens`, prefill, 2),
    ];
  });
}

function oursSpecs(path) {
  const specs = {};
  for (const threads of [1, 2]) {
    specs[`ours x${threads}`] = oursSpec(path, threads, { capacity: 512 });
  }
  return specs;
}

/** wllama times the prompt of every completion itself. */
function prefillOf(result) {
  if (result.missing) return result;
  const seconds = result.extra.prefillSeconds;
  return { ...result, seconds, best: seconds };
}
