import { spawn } from "node:child_process";
import { once } from "node:events";
import { withContenders } from "../contender.mjs";
import { relaxedFlags } from "../engine.mjs";
import { interleave, summary } from "../measure.mjs";
import { realModel, safetensorsModel } from "../model/models.mjs";
import { compare } from "../rows.mjs";

/** Calibration of both sides: sequences and tokens of each. */
const CALIBRATION = { samples: 16, sequenceLength: 256 };
/** The published method with the frequencies folded as the reference folds them, and ours. */
const METHODS = {
  transmla: { method: "transmla", freqFold: 4 },
  "output-aware": { method: "output-aware" },
};

/**
 * Wall time of converting SmolLM2-135M beside the reference implementation, which needs PyTorch and a checkout of its own:
 * `TRANSMLA_BENCH_REFERENCE` is a shell command that converts the model once with the calibration above.
 */
export async function conversion({ quick, progress }) {
  const command = process.env["TRANSMLA_BENCH_REFERENCE"];
  const missing =
    "set TRANSMLA_BENCH_REFERENCE to a command that runs the reference implementation";
  const row = (method, ours, peer) =>
    compare({
      group: "conversion",
      name: `SmolLM2-135M, keep 25 %, ${method}, wall time`,
      ours,
      peer,
      peerName: "reference implementation",
      unit: "s",
      value: (seconds) => seconds,
      atMost: 0.5,
    });
  if (quick || !command) {
    const reason = { missing: command ? "left out by --quick" : missing };
    return Object.keys(METHODS).map((method) => row(method, {}, reason));
  }
  const path = realModel() ?? (await safetensorsModel(false));
  const results = new Map();
  // One after the other: each wants the whole machine.
  for (const [method, chosen] of Object.entries(METHODS)) {
    const options = { path, conversion: chosen, ...CALIBRATION, threads: 2 };
    const specs = { [method]: { module: "ours-convert", options, flags: relaxedFlags } };
    const one = await withContenders(specs, (some) =>
      interleave(some, {}, { repetitions: 1, warmups: 0, progress }),
    );
    results.set(method, one.get(method));
  }
  progress("reference implementation");
  const reference = await timeCommand(command);
  return [...results].map(([method, ours]) => row(method, ours, reference));
}

async function timeCommand(command) {
  const started = performance.now();
  const child = spawn(command, { shell: true, stdio: ["ignore", "ignore", "inherit"] });
  const [code] = await once(child, "exit");
  if (code !== 0) return { missing: `TRANSMLA_BENCH_REFERENCE ended with ${code}` };
  return summary([{ seconds: (performance.now() - started) / 1e3 }]);
}
