import { bytes, count, parameters, perLayer } from "../format";
import { CacheBars } from "../parts/cache-bars";
import { Properties } from "../parts/properties";
import { converted, models, original } from "../state/bench";
import type { OpenedModel } from "../worker/description";
import { Environment } from "./environment";
import { Chooser } from "./chooser";

/** Choosing a model, and what the open ones are. */
export function ModelView() {
  const most = Math.max(
    ...models.value.flatMap(({ perLayer: layers }) => layers.map((layer) => layer.cacheNumbers)),
  );
  return (
    <>
      {models.value.length === 0 && (
        <p class="lead">
          Language models remember a text in a key/value cache. This page turns a model's
          grouped-query attention into multi-head latent attention, whose cache is a fraction as
          large, and shows what that costs. Everything runs in this page: no model, no text and no
          result leaves it.
        </p>
      )}
      <div class="columns">
        {models.value.map((model) => (
          <Architecture key={model.place} model={model} most={most} />
        ))}
      </div>
      {models.value.length > 0 && <p>{nextStep()}</p>}
      <Chooser />
      <Environment />
    </>
  );
}

function nextStep() {
  if (!converted.value) {
    return (
      <a class="button primary" href="#convert">
        Convert it
      </a>
    );
  }
  return original.value ? (
    <a class="button primary" href="#write">
      Let both write
    </a>
  ) : (
    "Open the model it was converted from to compare the two."
  );
}

function Architecture({ model, most }: { readonly model: OpenedModel; readonly most: number }) {
  const { name, place, family, layers, hidden, vocabulary, positions, dtype } = model;
  return (
    <section class="card architecture" aria-labelledby={`model-${place}`}>
      <h2 id={`model-${place}`}>
        {name} <span class="tag">{model.attention === "gqa" ? "grouped-query" : "latent"}</span>
      </h2>
      <Properties
        rows={[
          ["family", family],
          ["attention", attentionText(model)],
          ["layers", `${count(layers)}, ${count(hidden)} wide`],
          ["vocabulary", `${count(vocabulary)} tokens`],
          ["context", `${count(positions)} tokens`],
          ["weights", `${parameters(model.parameters)}, ${dtype}, ${bytes(model.bytes)}`],
          [
            "cache",
            `${count(model.kvCacheNumbersPerToken)} numbers per token, ${bytes(model.cacheBytes.f32 * positions)} in float32 for a full context`,
          ],
        ]}
      />
      <CacheBars model={model} most={most} />
    </section>
  );
}

function attentionText({ attention, heads, kvHeads, headDim, kvLoraRank, ropeDim }: OpenedModel) {
  if (attention === "gqa") {
    return `${heads} query heads on ${perLayer(kvHeads)} key/value heads of ${perLayer(headDim)}`;
  }
  return `${heads} query heads on a latent of ${perLayer(kvLoraRank ?? 0)} and a rotated key of ${perLayer(ropeDim ?? 0)}`;
}
