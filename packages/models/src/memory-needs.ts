import type { MemoryNeeds, Shape } from "@transmla/kernels";
import { cachePlanes } from "./attention/planes";
import type { LoadOptions } from "./load";
import type { ModelFiles } from "./open-model";
import { modelTensors } from "./tensors";
import { weightStorage } from "./weights";

/** Tokens of a page, unless a cache is made with others. */
const PAGE_TOKENS = 64;

/** What a model and a cache of `cacheTokens` tokens keep on a device, known from the headers alone. */
export function memoryNeeds(
  { config, checkpoint }: Pick<ModelFiles, "config" | "checkpoint">,
  { weights = "stored", cacheStorage = "f32", cacheTokens = 0 }: LoadOptions = {},
): MemoryNeeds {
  const specs = modelTensors(config);
  const pages = Math.ceil(cacheTokens / PAGE_TOKENS);
  return {
    weights: specs
      .filter(({ shape }) => shape.length === 2)
      .map(({ name, shape }) => ({
        shape: shape as unknown as Shape,
        storage: weightStorage(checkpoint.tensors.get(name)!.dtype, weights),
      })),
    tensors: specs.filter(({ shape }) => shape.length === 1).map(({ shape: [size] }) => [1, size]),
    pools:
      pages === 0
        ? []
        : config.layers.flatMap(({ attention }) =>
            cachePlanes(attention).map(({ width }) => ({
              pages,
              pageTokens: PAGE_TOKENS,
              width,
              storage: cacheStorage,
            })),
          ),
  };
}
