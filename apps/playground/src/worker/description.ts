import { bytesPerToken } from "@transmla/latent-cache";
import {
  cacheNumbersPerToken,
  cachePlanes,
  describeModel,
  type AttentionConfig,
  type ModelDescription,
} from "@transmla/models";
import type { BenchModel, Place } from "./workbench";

/** An opened model as the page shows it. */
export interface OpenedModel extends ModelDescription {
  readonly name: string;
  readonly place: Place;
  /** Whether it brings a template for conversations. */
  readonly chat: boolean;
  /** Bytes of cache per token, by how numbers are kept. */
  readonly cacheBytes: Readonly<Record<CacheKind, number>>;
  readonly perLayer: readonly LayerDescription[];
}

/** Ways to keep a cached number that the page offers. */
export const cacheKinds = ["f32", "bf16", "i8"] as const;

export type CacheKind = (typeof cacheKinds)[number];

/** What one layer's attention is. */
export interface LayerDescription {
  readonly heads: number;
  /** Planes of the cache: `keys` and `values`, or `latents` and `rope-keys`. */
  readonly planes: readonly { readonly name: string; readonly width: number }[];
  readonly cacheNumbers: number;
  readonly window?: number | undefined;
}

export function describe(place: Place, { name, files, template }: BenchModel): OpenedModel {
  const attention = files.config.layers.map((layer) => layer.attention);
  const planes = attention.map(cachePlanes);
  const bytes = (kind: CacheKind) => bytesPerToken(planes, kind);
  return {
    ...describeModel(files),
    name,
    place,
    chat: template !== undefined,
    cacheBytes: { f32: bytes("f32"), bf16: bytes("bf16"), i8: bytes("i8") },
    perLayer: attention.map(describeLayer),
  };
}

function describeLayer(attention: AttentionConfig): LayerDescription {
  return {
    heads: attention.heads,
    planes: cachePlanes(attention),
    cacheNumbers: cacheNumbersPerToken(attention),
    window: attention.window,
  };
}
