import { SampleModelError } from "./errors";
import { filePath } from "./file-path";

/*
 * Each address is a literal `new URL("…", import.meta.url)`: that is the form by which bundlers find a file to ship.
 * `../` is the package folder from `src/` and from `dist/` alike.
 */
const modelUrls = {
  "config.json": () => new URL("../model/config.json", import.meta.url),
  "generation_config.json": () => new URL("../model/generation_config.json", import.meta.url),
  "model.safetensors": () => new URL("../model/model.safetensors", import.meta.url),
  "tokenizer.json": () => new URL("../model/tokenizer.json", import.meta.url),
  "tokenizer_config.json": () => new URL("../model/tokenizer_config.json", import.meta.url),
} as const;

/** A file of the sample model, by its Hugging Face name. */
export type SampleModelFile = keyof typeof modelUrls;

/** The names of the model's files, all in one folder. */
export const sampleModelFiles: readonly SampleModelFile[] = Object.freeze(
  Object.keys(modelUrls) as SampleModelFile[],
);

/**
 * The address of one file of the model: a `file:` URL in Node, the bundler's asset address in a browser.
 *
 * @throws SampleModelError `UnknownFile`
 */
export function modelUrl(name: SampleModelFile): URL {
  if (!Object.hasOwn(modelUrls, name)) {
    throw new SampleModelError(
      "UnknownFile",
      `The sample model has no file ${JSON.stringify(name)}; it has ${sampleModelFiles.join(", ")}.`,
      { name, files: sampleModelFiles },
    );
  }
  return modelUrls[name]();
}

/**
 * The folder that holds the model, as a path of the operating system without a trailing separator, for loaders that
 * take a folder.
 *
 * @throws SampleModelError `NotOnDisk` where the package is not a folder on a disk (a browser)
 */
export function modelFolderPath(): string {
  return filePath(new URL(".", modelUrl("config.json"))).replace(/[\\/]$/, "");
}

/**
 * Text from the distribution the model was trained on, but not trained on (67 kB, UTF-8): for calibration.
 * Its first half chose the training step whose weights were kept.
 */
export function calibrationTextUrl(): URL {
  return new URL("../text/calibration.txt", import.meta.url);
}

/** Held-out text (112 kB, UTF-8): nothing was fitted to it or chosen by it. For measuring only. */
export function evaluationTextUrl(): URL {
  return new URL("../text/evaluation.txt", import.meta.url);
}
