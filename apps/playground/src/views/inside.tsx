import { useState } from "preact/hooks";
import type { TracedPlane } from "@transmla/models";
import { count, percent } from "../format";
import { planeNames } from "../parts/cache-bars";
import { HeatMap } from "../parts/heat-map";
import { Slider } from "../parts/slider";
import { TokenText, visible } from "../parts/token-text";
import { models } from "../state/bench";
import { task } from "../state/task";
import { chosenToken, divergence, lookAt, textTokens, traces } from "../state/writing";
import type { PlacedTrace } from "../worker/operations/trace";

/** What attention looks at for a chosen token, and what lies in the cache. */
export function InsideView() {
  const [layer, setLayer] = useState(0);
  const chosen = chosenToken.value;
  const tokens = divergence.value;
  return (
    <>
      {tokens ? (
        <>
          <p class="lead">Choose a token of the text.</p>
          <TokenText tokens={tokens} />
        </>
      ) : (
        <p>
          <button
            type="button"
            disabled={task.value !== undefined}
            onClick={() => void lookAt(textTokens.value.length - 1)}
          >
            Look at the last token
          </button>
        </p>
      )}
      {chosen !== undefined && (
        <>
          <Slider
            name="Layer"
            min={0}
            max={Math.max(...traces.value.map(({ layers }) => layers.length)) - 1}
            step={1}
            value={layer}
            text={String(layer)}
            onInput={setLayer}
          />
          <div class="columns">
            {traces.value.map((trace) => (
              <Trace key={trace.place} trace={trace} layer={layer} />
            ))}
          </div>
        </>
      )}
    </>
  );
}

function Trace({ trace, layer }: { readonly trace: PlacedTrace; readonly layer: number }) {
  const { place, length, layers } = trace;
  const { heads, weights, planes } = layers[layer]!;
  const model = models.value.find((one) => one.place === place);
  const tokenName = (index: number) => {
    const text = divergence.value?.[index]?.text;
    return text === undefined ? `token ${index}` : `token ${index} “${visible(text)}”`;
  };
  return (
    <section class="card" aria-labelledby={`trace-${place}`}>
      <h2 id={`trace-${place}`}>{model?.name ?? place}</h2>
      <HeatMap
        title={`Attention of layer ${layer}: ${heads} heads over ${length} tokens`}
        values={weights}
        rows={heads}
        columns={length}
        scale="part"
        rowName={(row) => `Head ${row}`}
        columnName={tokenName}
        summary={attentionSummary(weights, heads, length, tokenName)}
      />
      {planes.map((plane) => (
        <CacheMap key={plane.name} plane={plane} length={length} tokenName={tokenName} />
      ))}
    </section>
  );
}

function CacheMap(props: {
  readonly plane: TracedPlane;
  readonly length: number;
  readonly tokenName: (index: number) => string;
}) {
  const { plane, length, tokenName } = props;
  const name = planeNames[plane.name] ?? plane.name;
  return (
    <HeatMap
      title={`Cached ${name}: ${plane.width} numbers for each of ${length} tokens`}
      values={transposed(plane.rows, length, plane.width)}
      rows={plane.width}
      columns={length}
      scale="signed"
      rowName={(row) => `Number ${row}`}
      columnName={tokenName}
      summary={`${count(plane.width * length)} numbers from minus to plus ${largest(plane.rows).toFixed(2)}.`}
    />
  );
}

const largest = (values: Float32Array) =>
  values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

/** `[rows, columns]` → `[columns, rows]`: tokens lie side by side, as they do in the text. */
function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  return Float32Array.from(values, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!);
}

/** The token that each head looks at most, for the head that looks hardest. */
function attentionSummary(
  weights: Float32Array,
  heads: number,
  length: number,
  tokenName: (index: number) => string,
): string {
  let best = 0;
  for (const [i, weight] of weights.entries()) if (weight > weights[best]!) best = i;
  const head = Math.floor(best / length);
  return `${heads} heads; head ${head} looks hardest, giving ${percent(weights[best]!, 0)} to ${tokenName(best % length)}.`;
}
