import type { Attack } from "../attack";
import { attacks as config } from "./config";
import { attacks as gguf } from "./gguf";
import { attacks as indexFile } from "./index-file";
import { attacks as safetensors } from "./safetensors";
import { attacks as template } from "./template";
import { attacks as tokenizer } from "./tokenizer";

/** Bad models: what `openModel` and all that reads a model meets. */
export const modelAttacks: readonly Attack[] = [
  ...safetensors,
  ...indexFile,
  ...config,
  ...tokenizer,
  ...template,
  ...gguf,
];
