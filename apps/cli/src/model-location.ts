import type { Stats } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { loadTokenizer, type Tokenizer } from "@transmla/generation";
import type { Device } from "@transmla/kernels";
import {
  loadModel,
  modelFromConfig,
  openModel,
  readConfig,
  type Model,
  type ModelFiles,
} from "@transmla/models";
import { modelFolderPath } from "@transmla/sample-model";
import { fileSource, folder } from "@transmla/tensor-io";
import type { CommandContext } from "./command";
import { CliError } from "./errors";
import { parseHubId } from "./hub/hub-id";
import { hubModelPath, type Wanted } from "./hub/snapshot";

/** The word that stands for the embedded model and, as a text, for the texts that come with it. */
export const SAMPLE = "sample";

/** An opened model: headers read and checked, no weight touched yet. */
export interface LocatedModel {
  /** As the user wrote it. */
  readonly name: string;
  readonly isSample: boolean;
  /** The folder, or the GGUF file; for a hub id in the hub's cache. */
  readonly path: string;
  readonly files: ModelFiles;
}

/**
 * Opens what `<model>` names, downloading it first if that is a hub id, runs `body` and closes it.
 *
 * @throws CliError `ModelNotFound` and those of `hubModelPath`; ModelsError and TensorIoError for models that cannot be used
 */
export async function withModel<Value>(
  context: CommandContext,
  name: string,
  body: (model: LocatedModel) => Promise<Value>,
): Promise<Value> {
  const path = name === SAMPLE ? modelFolderPath() : await localPath(context, name, "model");
  return withFiles(name, path, await openFiles(path), body);
}

/** Opens a folder or a GGUF file. Throws CliError `ModelNotFound`; ModelsError and TensorIoError. */
export async function openFiles(path: string): Promise<ModelFiles> {
  return openModel(await modelSource(path));
}

/**
 * The same where the weights need not be there: a folder with a config alone, a config file, or a hub id of which the config alone is
 * downloaded. Reading a weight may then throw `WeightsAbsent`.
 */
export async function withModelHeaders<Value>(
  context: CommandContext,
  name: string,
  body: (model: LocatedModel) => Promise<Value>,
): Promise<Value> {
  const path = name === SAMPLE ? modelFolderPath() : await localPath(context, name, "config");
  const config = await configWithoutWeights(path);
  if (config === undefined) {
    return withFiles(name, path, await openFiles(path), body);
  }
  const source = folder(dirname(config));
  const file = basename(config);
  const files = modelFromConfig(source, await readConfig(source, file), file);
  return withFiles(name, path, files, body);
}

async function withFiles<Value>(
  name: string,
  path: string,
  files: ModelFiles,
  body: (model: LocatedModel) => Promise<Value>,
): Promise<Value> {
  try {
    return await body({ name, isSample: name === SAMPLE, path, files });
  } finally {
    await files.close();
  }
}

/** The config that stands for the model, where no weights are beside it. */
async function configWithoutWeights(path: string): Promise<string | undefined> {
  if (path.endsWith(".json")) return path;
  const names = await readdir(path).catch((): string[] => []);
  const weights = names.some((name) => name.endsWith(".safetensors"));
  return weights || !names.includes("config.json") ? undefined : join(path, "config.json");
}

/** What is on the disk comes before the hub. */
async function localPath(context: CommandContext, name: string, wanted: Wanted): Promise<string> {
  if (await whatLiesAt(name)) return name;
  const id = parseHubId(name);
  return id === undefined || /\.(gguf|json)$/.test(name) ? name : hubModelPath(context, id, wanted);
}

/** Nothing where there is nothing. A place that may not be looked at is no such place. Throws CliError `ModelNotFound`. */
async function whatLiesAt(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (cause) {
    const { code = "", message } = cause as NodeJS.ErrnoException;
    if (["ENOENT", "ENOTDIR", "ENAMETOOLONG"].includes(code)) return undefined;
    throw new CliError("ModelNotFound", `${path} cannot be read: ${message}`, { path }, { cause });
  }
}

async function modelSource(path: string) {
  const found = await whatLiesAt(path);
  if (found?.isDirectory()) return folder(path);
  if (found === undefined) {
    throw new CliError(
      "ModelNotFound",
      `${path} was not found: give a folder, a .gguf file, a hub id such as org/name, or the word sample.`,
      { path },
    );
  }
  if (path.endsWith(".safetensors")) {
    throw new CliError(
      "ModelNotFound",
      `${path} holds weights only: give the folder that has its config.json.`,
      { path },
    );
  }
  return fileSource(path, basename(path));
}

/** The model's tokenizer: from its folder, or from the metadata of its GGUF file. */
export function tokenizerOf({ files }: LocatedModel): Promise<Tokenizer> {
  return loadTokenizer(files.origin);
}

/** Puts the weights on a device that has room for them and for a cache of `cacheTokens` tokens, with progress. */
export function load(
  { name, files }: LocatedModel,
  device: Device,
  { terminal, signal, storage }: CommandContext,
  cacheTokens: number,
): Promise<Model> {
  const label = `loading ${shortName(name)}`;
  terminal.working(label);
  const onProgress = terminal.progressOf(label);
  return loadModel(files, device, { ...storage, cacheTokens, onProgress, signal });
}

/** The last part of a path, for lines that have no room for all of it. */
export function shortName(name: string): string {
  return basename(name) || name;
}
