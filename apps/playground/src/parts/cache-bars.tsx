import { count } from "../format";
import type { OpenedModel } from "../worker/description";

/** Names of the planes of a cache, for people. */
export const planeNames: Readonly<Record<string, string>> = {
  keys: "keys",
  values: "values",
  latents: "latent",
  "rope-keys": "rotated key",
};

/** What every layer caches per token, as bars over one scale. */
export function CacheBars({ model, most }: { readonly model: OpenedModel; readonly most: number }) {
  const planes = [
    ...new Set(model.perLayer.flatMap((layer) => layer.planes.map(({ name }) => name))),
  ];
  return (
    <figure class="bars">
      <figcaption>
        Numbers cached per token, layer by layer
        <span class="keys-of">
          {planes.map((name) => (
            <span key={name} class={`key ${name}`}>
              {planeNames[name] ?? name}
            </span>
          ))}
        </span>
      </figcaption>
      <div class="scroll" tabIndex={0} role="region" aria-label={`Layers of ${model.name}`}>
        <ol>
          {model.perLayer.map(({ planes: own, cacheNumbers, heads }, layer) => (
            <li key={layer}>
              <span class="bar-label">
                Layer {layer}, {heads} heads
              </span>
              <span class="bar" aria-hidden="true">
                {own.map(({ name, width }) => (
                  <span key={name} class={name} style={{ width: `${(100 * width) / most}%` }} />
                ))}
              </span>
              <span class="bar-value">
                {own.map(({ width }) => width).join(" + ")} = {count(cacheNumbers)}
              </span>
            </li>
          ))}
        </ol>
      </div>
    </figure>
  );
}
