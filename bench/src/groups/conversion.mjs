import { spawn } from "node:child_process";
import { once } from "node:events";
import { withContenders } from "../contender.mjs";
import { relaxedFlags } from "../engine.mjs";
import { interleave, summary } from "../measure.mjs";
import { realModel, safetensorsModel } from "../model/models.mjs";
import { compare } from "../rows.mjs";

/** Calibration of both sides: sequences and tokens of each. */
const CALIBRATION = { samples: 16, sequenceLength: 256 };

/**
 * Wall time of converting SmolLM2-135M beside the reference implementation, which needs PyTorch and a checkout of its own:
 * `TRANSMLA_BENCH_REFERENCE` is a shell command that converts the model once with the calibration above.
 */
export async function conversion({ quick, progress }) {
  const command = process.env["TRANSMLA_BENCH_REFERENCE"];
  const missing =
    "set TRANSMLA_BENCH_REFERENCE to a command that runs the reference implementation";
  const row = (ours, peer) =>
    compare({
      group: "conversion",
      name: "SmolLM2-135M, keep 25 %, wall time",
      ours,
      peer,
      peerName: "reference implementation",
      unit: "s",
      value: (seconds) => seconds,
      atMost: 0.5,
    });
  if (quick || !command) return [row({}, { missing: command ? "left out by --quick" : missing })];
  const path = realModel() ?? (await safetensorsModel(false));
  const options = { path, ...CALIBRATION, threads: 2 };
  const specs = { ours: { module: "ours-convert", options, flags: relaxedFlags } };
  const results = await withContenders(specs, (some) =>
    interleave(some, {}, { repetitions: 1, warmups: 0, progress }),
  );
  progress("reference implementation");
  return [row(results.get("ours"), await timeCommand(command))];
}

async function timeCommand(command) {
  const started = performance.now();
  const child = spawn(command, { shell: true, stdio: ["ignore", "ignore", "inherit"] });
  const [code] = await once(child, "exit");
  if (code !== 0) return { missing: `TRANSMLA_BENCH_REFERENCE ended with ${code}` };
  return summary([{ seconds: (performance.now() - started) / 1e3 }]);
}
