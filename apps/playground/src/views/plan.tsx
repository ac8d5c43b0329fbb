import { useEffect, useState } from "preact/hooks";
import { call } from "../client";
import { bytes, count, percent, roughly, significant } from "../format";
import { Slider } from "../parts/slider";
import { models } from "../state/bench";
import { runTask, task } from "../state/task";
import type { ConversionRow, DeploymentPlan, PlannedRow } from "../worker/operations/plan";

/** Parts of the cache that conversions are planned to. */
const KEEP = [0.5, 0.25, 0.125];

const HERE = "here";

/** What models and conversions need and can do on named hardware. */
export function PlanView() {
  const [target, setTarget] = useState(HERE);
  const most = Math.min(...models.value.map(({ positions }) => positions));
  const [cached, setCached] = useState(most);
  const [plan, setPlan] = useState<DeploymentPlan | undefined>(undefined);
  const compute = async () => {
    const choice = {
      target,
      cached: Math.min(cached, most),
      cacheStorage: "bf16",
      keep: KEEP,
    } as const;
    const result = await runTask("Planning", ({ signal }) => call("plan", choice, { signal }));
    if (result) setPlan(result);
  };
  useEffect(() => {
    void compute();
  }, []);
  const targets = plan?.targets ?? [HERE];
  return (
    <>
      <p class="lead">
        What the open models, and conversions that could be made, need and can do at most.
      </p>
      <form
        class="row settings"
        onSubmit={(event) => {
          event.preventDefault();
          void compute();
        }}
      >
        <p class="field">
          <label for="target">Hardware</label>
          <select
            id="target"
            value={target}
            onChange={({ currentTarget }) => setTarget(currentTarget.value)}
          >
            {targets.map((name) => (
              <option key={name} value={name}>
                {name === HERE ? "this device, measured" : name}
              </option>
            ))}
          </select>
        </p>
        <Slider
          name="Tokens in the cache"
          min={Math.min(128, most)}
          max={most}
          step={Math.max(1, Math.min(128, Math.floor(most / 8)))}
          value={Math.min(cached, most)}
          text={count(Math.min(cached, most))}
          onInput={setCached}
        />
        <button type="submit" disabled={task.value !== undefined}>
          Plan
        </button>
      </form>
      {plan && <PlanTable plan={plan} />}
      {plan && plan.conversions.length > 0 && <ConversionTable rows={plan.conversions} />}
    </>
  );
}

function PlanTable({ plan }: { readonly plan: DeploymentPlan }) {
  const { target, rows } = plan;
  return (
    <>
      <p class="fine">
        {target.name === HERE ? "This device" : target.name}: {bytes(target.bandwidth)}/s,{" "}
        {significant(target.flops / 1e9)} GFLOP/s, {bytes(target.memory)}. Speeds are what the
        hardware allows at most, with cached numbers in bfloat16. Latent attention runs in three
        ways: absorbed, where queries meet latents; restored, where keys and values are made of the
        latents at every step; expanded, where they are cached.
      </p>
      <div class="scroll" tabIndex={0} role="region" aria-label="Plan">
        <table class="plan">
          <thead>
            <tr>
              <th scope="col">Model</th>
              <th scope="col">Attention</th>
              <th scope="col">Cache per token</th>
              <th scope="col">Longest context</th>
              <th scope="col">Texts at once</th>
              <th scope="col">Tokens/s, one</th>
              <th scope="col">Tokens/s, all</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr key={`${row.model} ${row.way}`}>
                <th scope="row">
                  {typeof row.model === "number"
                    ? `converted to ${percent(row.model, 1)}`
                    : row.model}
                </th>
                <td>{row.way}</td>
                <td>{bytes(row.cacheBytesPerToken)}</td>
                <td>{row.longestContext === null ? "any" : count(row.longestContext)}</td>
                <td>{count(row.largestBatch)}</td>
                <td>{speed(row.single)}</td>
                <td>{speed(row.batched)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

function ConversionTable({ rows }: { readonly rows: readonly ConversionRow[] }) {
  return (
    <section aria-labelledby="conversions-heading">
      <h2 id="conversions-heading">The conversions themselves</h2>
      <p class="fine">Estimates for this device, with 16,384 calibration tokens.</p>
      <div class="scroll" tabIndex={0} role="region" aria-label="Conversions">
        <table>
          <thead>
            <tr>
              <th scope="col">Cache</th>
              <th scope="col">Latent + rotated</th>
              <th scope="col">Time</th>
              <th scope="col">Memory</th>
              <th scope="col">Result</th>
            </tr>
          </thead>
          <tbody>
            {rows.map(({ keep, kvLoraRank, ropeDim, seconds, memoryBytes, outputBytes }) => (
              <tr key={keep}>
                <th scope="row">{percent(keep, 1)}</th>
                <td>
                  {kvLoraRank} + {ropeDim}
                </td>
                <td>about {roughly(seconds)}</td>
                <td>{bytes(memoryBytes)}</td>
                <td>{bytes(outputBytes)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

const speed = (step: PlannedRow["single"]) => (step ? count(step.tokensPerSecond) : "–");
