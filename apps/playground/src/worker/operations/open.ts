import { openModel } from "@transmla/models";
import { describe, type OpenedModel } from "../description";
import type { Operation } from "../operation";
import { sourceOf, type ModelChoice } from "../sources";

/**
 * Opens a model and checks it from its headers. A model with grouped attention becomes the original, and what was converted from
 * another is closed; one with latent attention is put beside the original.
 *
 * @throws PlaygroundError `NoModelChosen`, `HubId`, `HubUnreachable`, `HubNoModel`; ModelsError, GenerationError, TensorIoError
 */
export const openModelAt: Operation<ModelChoice, OpenedModel> = async (bench, choice, running) => {
  const { name, source } = await sourceOf(choice, running);
  const files = await openModel(source);
  const place = files.config.layers[0]!.attention.kind === "gqa" ? "original" : "converted";
  const model = await bench.place(place, files, { name });
  if (place === "original") await bench.remove("converted");
  return describe(place, model);
};
