import { eigh, Moments } from "@transmla/low-rank";
import { calibrationSequences } from "@transmla/generation";
import type { LayerTrace } from "@transmla/models";
import { progressOf, type Operation } from "../operation";
import type { Place } from "../workbench";

/** Singular values of what one layer caches. */
export interface LayerSpectrum {
  readonly layer: number;
  /** By plane: `keys`, `values`, `latents`, `rope-keys`. */
  readonly planes: readonly PlaneSpectrum[];
}

export interface PlaneSpectrum {
  readonly name: string;
  /** Of the centred rows, divided by the square root of their number, largest first: standard deviations along principal axes. */
  readonly values: readonly number[];
}

/** Tokens whose cached rows are looked at. */
const TOKENS = 512;

/**
 * Spectra of what a model caches for a piece of the calibration text. Keys are as they are cached, that is, rotated.
 *
 * @throws PlaygroundError `NoModel`; the signal's reason
 */
export const spectra: Operation<
  { readonly place: Place },
  { readonly place: Place; readonly tokens: number; readonly layers: readonly LayerSpectrum[] }
> = async (bench, { place }, running) => {
  const { signal } = running;
  const { model, tokenizer } = await bench.loaded(place, signal, progressOf("Loading", running));
  const sequenceLength = Math.min(TOKENS, model.config.maxPositions);
  const stream = tokenizer.encode(await bench.text("calibration"));
  const [tokens] = calibrationSequences(stream, { samples: 2, sequenceLength, seed: 1 });
  const onProgress = progressOf("Looking at what is cached", running);
  const trace = await model.trace(tokens!, { signal, onProgress });
  return { place, tokens: sequenceLength, layers: trace.layers.map(spectrumOf) };
};

function spectrumOf({ planes }: LayerTrace, layer: number): LayerSpectrum {
  return {
    layer,
    planes: planes.map(({ name, width, rows }) => ({ name, values: singularValues(rows, width) })),
  };
}

/** @param rows `[tokens, width]` */
export function singularValues(rows: Float32Array, width: number): number[] {
  const moments = new Moments(width);
  moments.add(rows);
  const { values } = eigh(moments.covariance());
  return Array.from(values, (value) => Math.sqrt(Math.max(0, value)));
}
