import { useState } from "preact/hooks";
import { count, percent, roughly, significant } from "../format";
import { Chart } from "../parts/chart";
import { Meter } from "../parts/meter";
import { Slider } from "../parts/slider";
import { planeNames } from "../parts/cache-bars";
import { converted, original } from "../state/bench";
import {
  lookAtSpectra,
  measured,
  measureConverted,
  spectra,
  trials,
  tryOtherSizes,
  untriedSizes,
} from "../state/session";
import { task } from "../state/task";
import { SaveSection } from "./save";

/** What the conversion cost. */
export function ResultsView() {
  const last = trials.value.at(-1);
  return (
    <>
      <Summary />
      {last && last.outcome.report.warnings.map((warning) => <p key={warning}>{warning}</p>)}
      <SaveSection />
      <div class="columns wide">
        {trials.value.some((trial) => trial.measured) && <PerplexityChart />}
        {last && <LayerChart />}
        <SpectrumChart />
      </div>
    </>
  );
}

function Summary() {
  const model = converted.value!;
  const before = original.value?.kvCacheNumbersPerToken;
  const result = measured.value;
  const last = trials.value.at(-1);
  return (
    <section aria-label="Summary">
      <p class="lead">
        {model.name}: {count(model.kvCacheNumbersPerToken)} numbers per token
        {before ? ` instead of ${count(before)}` : ""}
        {last ? `, converted in ${roughly(last.outcome.report.seconds)}` : ""}.
      </p>
      <dl class="meters">
        {before && (
          <Meter
            name="Cache"
            value={percent(model.kvCacheNumbersPerToken / before, 1)}
            part={model.kvCacheNumbersPerToken / before}
          />
        )}
        {result && (
          <>
            <Meter name="Perplexity, original" value={result.perplexityA.toFixed(2)} />
            <Meter name="Perplexity, converted" value={result.perplexityB.toFixed(2)} />
            <Meter
              name="Same likeliest token"
              value={percent(result.topAgreement, 1)}
              part={result.topAgreement}
            />
            <Meter name="Mean divergence" value={`${significant(result.meanKl)} nats`} />
          </>
        )}
      </dl>
      {result ? (
        <p class="fine">
          Measured on {count(result.tokens)} tokens of plays by Shakespeare that nothing was fitted
          to; no training.
        </p>
      ) : (
        original.value && (
          <button
            type="button"
            disabled={task.value !== undefined}
            onClick={() => void measureConverted()}
          >
            Measure on the held-out text
          </button>
        )
      )}
    </section>
  );
}

function PerplexityChart() {
  const points = trials.value
    .filter((trial) => trial.measured)
    .map(({ outcome, measured: result }) => ({
      kept: 100 * outcome.report.keptFraction,
      perplexity: result!.perplexityB,
    }))
    .toSorted((a, b) => a.kept - b.kept);
  const whole = trials.value.find((trial) => trial.measured)!.measured!.perplexityA;
  const x = [...points.map(({ kept }) => kept), 100];
  const untried = untriedSizes();
  return (
    <section aria-label="Perplexity">
      <Chart
        title="Perplexity against cache"
        xName="Cache kept, %"
        yName="Perplexity"
        x={x}
        xText={(value) => significant(value)}
        series={[
          {
            name: "converted",
            colour: "b",
            points: true,
            values: [...points.map(({ perplexity }) => perplexity), null],
          },
          { name: "original", colour: "a", values: x.map(() => whole) },
        ]}
      />
      {untried.length > 0 && (
        <button
          type="button"
          disabled={task.value !== undefined}
          onClick={() => void tryOtherSizes()}
        >
          Also convert to {untried.map((keep) => percent(keep, keep < 0.2 ? 1 : 0)).join(" and ")}
        </button>
      )}
    </section>
  );
}

function LayerChart() {
  const { layers } = trials.value.at(-1)!.outcome.report;
  return (
    <Chart
      title="What each layer keeps"
      xName="Layer"
      yName="Part, %"
      x={layers.map(({ layer }) => layer)}
      xText={(value) => (Number.isInteger(value) ? String(value) : "")}
      series={[
        {
          name: "kept energy",
          colour: "b",
          values: layers.map(({ keptEnergy }) => 100 * keptEnergy),
        },
        {
          name: "output error",
          colour: "c",
          values: layers.map(({ outputError }) => 100 * outputError),
        },
      ]}
    />
  );
}

const planeColours: Readonly<Record<string, string>> = {
  keys: "a",
  values: "c",
  latents: "b",
  "rope-keys": "d",
};

function SpectrumChart() {
  const [layer, setLayer] = useState(0);
  const all = [...(spectra.value.original ?? []), ...(spectra.value.converted ?? [])];
  if (all.length === 0) {
    return (
      <p>
        <button
          type="button"
          disabled={task.value !== undefined}
          onClick={() => void lookAtSpectra()}
        >
          Show the singular values of what is cached
        </button>
      </p>
    );
  }
  const planes = all.filter((one) => one.layer === layer).flatMap((one) => one.planes);
  const most = Math.max(...planes.map(({ values }) => values.length));
  const last = Math.max(...all.map((one) => one.layer));
  return (
    <section aria-label="Singular values">
      <Chart
        title={`Singular values of what layer ${layer} caches`}
        xName="Component"
        yName="Standard deviation"
        x={Array.from({ length: most }, (_, i) => i + 1)}
        logarithmic
        series={planes.map(({ name, values }) => ({
          name: planeNames[name] ?? name,
          colour: planeColours[name] ?? "a",
          values: Array.from({ length: most }, (_, i) => values[i] ?? null),
        }))}
      />
      <Slider
        name="Layer"
        min={0}
        max={last}
        step={1}
        value={layer}
        text={String(layer)}
        onInput={setLayer}
      />
      <p class="fine">
        Keys as they are cached, rotated: rotation spreads them over more components, which is why a
        small latent cannot simply hold them.
      </p>
    </section>
  );
}
