import type { ModelFolder } from "@transmla/tensor-io";
import { tokenizerJsonFromGguf, type GgufMetadata } from "./gguf";

/** A model folder, or the metadata of a GGUF file. */
type CompanionOrigin =
  | { readonly folder: ModelFolder }
  | { readonly gguf: { readonly values: GgufMetadata } };

/** Files of a model folder that belong to its text side; they are carried over to a converted model. */
const companionNames = [
  "tokenizer.json",
  "tokenizer_config.json",
  "tokenizer.model",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "merges.txt",
  "chat_template.jinja",
  "generation_config.json",
];

/**
 * What goes beside the weights of a converted model so that it has the original's tokenizer, chat template and generation settings:
 * contents by file name. None for a GGUF file without a tokenizer.
 *
 * @param origin `files.origin` of `openModel`
 * @throws GenerationError InvalidTokenizer, UnsupportedTokenizer; TensorIoError for files that cannot be read
 */
export async function companionFiles(origin: CompanionOrigin): Promise<Map<string, Uint8Array>> {
  if ("folder" in origin) return filesOf(origin.folder, companionNames);
  if (!origin.gguf.values.has("tokenizer.ggml.model")) return new Map();
  const { tokenizerJson, tokenizerConfig } = tokenizerJsonFromGguf(origin.gguf.values);
  const encode = (json: object) => new TextEncoder().encode(`${JSON.stringify(json, null, 1)}\n`);
  return new Map([
    ["tokenizer.json", encode(tokenizerJson)],
    ["tokenizer_config.json", encode(tokenizerConfig)],
  ]);
}

async function filesOf(
  from: ModelFolder,
  names: readonly string[],
): Promise<Map<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>();
  for (const name of names) {
    if (!(await from.has(name))) continue;
    const source = await from.open(name);
    try {
      found.set(name, await source.read(0, source.size));
    } finally {
      await source.close();
    }
  }
  return found;
}
