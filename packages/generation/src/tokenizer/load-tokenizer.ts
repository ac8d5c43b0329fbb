import type { ByteSource, ModelFolder } from "@transmla/tensor-io";
import { GenerationError } from "../errors";
import type { GgufMetadata } from "./gguf-metadata";
import { jsonObject, type JsonObject } from "./json";
import { Tokenizer } from "./tokenizer";

/** Where a model's tokenizer is: `files.origin` of `openModel`. */
export type TokenizerOrigin =
  | { readonly folder: ModelFolder }
  | { readonly gguf: { readonly values: GgufMetadata } };

/** The largest published tokenizer.json has 33 MB; beyond this limit it is something else. */
const maxFileBytes = 256 << 20;

/**
 * The tokenizer of a model: `tokenizer.json`, `tokenizer_config.json` and `chat_template.jinja` of its folder, or the
 * metadata of its GGUF file.
 *
 * @throws GenerationError MissingTokenizer, TokenizerNotJson, InvalidTokenizer, UnsupportedTokenizer; TensorIoError
 */
export async function loadTokenizer(origin: TokenizerOrigin): Promise<Tokenizer> {
  if ("gguf" in origin) return Tokenizer.fromGguf(origin.gguf.values);
  const { tokenizerJson, tokenizerConfig } = await readTokenizerFiles(origin.folder);
  return Tokenizer.fromJson(tokenizerJson, tokenizerConfig);
}

/**
 * The tokenizer's files of a folder, the chat template among its settings.
 *
 * @throws GenerationError MissingTokenizer, TokenizerNotJson, InvalidTokenizer
 */
export async function readTokenizerFiles(
  folder: ModelFolder,
): Promise<{ tokenizerJson: Uint8Array; tokenizerConfig: JsonObject }> {
  const json = await readFile(folder, "tokenizer.json");
  if (json === undefined) {
    throw new GenerationError(
      "MissingTokenizer",
      `${folder.name} has no tokenizer.json. Copy it from the model this one was made from.`,
      { folder: folder.name },
    );
  }
  return { tokenizerJson: json, tokenizerConfig: await readConfig(folder) };
}

async function readConfig(folder: ModelFolder): Promise<JsonObject> {
  const bytes = await readFile(folder, "tokenizer_config.json");
  const config = jsonObject(bytes ?? {}, "tokenizer_config.json");
  if (config["chat_template"] !== undefined) return config;
  const template = await readFile(folder, "chat_template.jinja");
  return template === undefined
    ? config
    : { ...config, chat_template: new TextDecoder().decode(template) };
}

async function readFile(folder: ModelFolder, name: string): Promise<Uint8Array | undefined> {
  if (!(await folder.has(name))) return undefined;
  const source: ByteSource = await folder.open(name);
  try {
    if (source.size <= maxFileBytes) return await source.read(0, source.size);
    throw new GenerationError(
      "InvalidTokenizer",
      `${name} has ${source.size} bytes, more than the limit of ${maxFileBytes}.`,
      { file: name, bytes: source.size, limit: maxFileBytes },
    );
  } finally {
    await source.close();
  }
}
