import { withContenders } from "../contender.mjs";
import { interleave, quickest } from "../measure.mjs";
import { safetensorsModel } from "../model/models.mjs";
import { llamaNames, llamaSpecs, oursSpec } from "../model/specs.mjs";
import { compare, per } from "../rows.mjs";

const group = "prefill SmolLM2-135M";

/** A prompt of 256 tokens into an empty cache. */
export async function prefill({ quick, progress }) {
  const tokens = quick ? 64 : 256;
  const path = await safetensorsModel(quick);
  const specs = {
    "ours x1": oursSpec(path, 1, { capacity: tokens }),
    "ours x2": oursSpec(path, 2, { capacity: tokens }),
    ...(await llamaSpecs({ quick, type: "F32", threads: [1, 2], contextSize: 2 * tokens })),
  };
  const task = { kind: "prefill", tokens };
  const results = await withContenders(specs, (contenders) =>
    interleave(contenders, task, { repetitions: quick ? 2 : 5, progress }),
  );
  return [1, 2].map((threads) => {
    const ours = results.get(`ours x${threads}`);
    const peer = quickest(results, llamaNames("F32", [threads]));
    return compare({
      group,
      name: `${tokens} tokens, ${threads === 1 ? "1 thread" : "2 threads"}`,
      ours,
      peer,
      unit: "tokens/s",
      value: per(1),
      atLeast: 0.6,
      note: agreement(ours, peer),
    });
  });
}

/** Both runtimes read the same weights, so the most likely next token should be the same. */
function agreement(ours, peer) {
  if (ours.missing || peer.missing) return undefined;
  const same = ours.extra.token === peer.extra.token;
  return same ? "both choose the same next token" : "the two choose different next tokens";
}
