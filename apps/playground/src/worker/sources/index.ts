import { modelUrl, sampleModelFiles } from "@transmla/sample-model";
import {
  blobSource,
  fileListFolder,
  memoryFolder,
  type ByteSource,
  type ModelFolder,
} from "@transmla/tensor-io";
import { PlaygroundError } from "../failure";
import type { Progress, Running } from "../operation";
import { directoryFolder } from "./directory-folder";
import { downloadHubModel } from "./hub";
import { keptFolder } from "./kept-folders";

/** Where a model comes from, as the page chose it. */
export type ModelChoice =
  | { readonly kind: "sample" }
  | { readonly kind: "files"; readonly name: string; readonly files: readonly File[] }
  | { readonly kind: "directory"; readonly handle: FileSystemDirectoryHandle }
  | { readonly kind: "kept"; readonly name: string }
  | { readonly kind: "hub"; readonly id: string };

/** A name to show, and what `openModel` takes. */
export interface NamedSource {
  readonly name: string;
  readonly source: ModelFolder | ByteSource;
}

/** @throws PlaygroundError; TensorIoError */
export async function sourceOf(
  choice: ModelChoice,
  running: Running<Progress>,
): Promise<NamedSource> {
  switch (choice.kind) {
    case "sample":
      return { name: "sample", source: await sampleFolder(running) };
    case "files":
      return {
        name: choice.name.replace(/\.gguf$/, ""),
        source: ofFiles(choice.name, choice.files),
      };
    case "directory":
      return { name: choice.handle.name, source: directoryFolder(choice.handle) };
    case "kept":
      return { name: choice.name, source: await keptFolder(choice.name) };
    case "hub":
      return { name: choice.id, source: await downloadHubModel(choice.id, running) };
  }
}

/** One GGUF file, or the files of a folder. */
function ofFiles(name: string, files: readonly File[]): ModelFolder | ByteSource {
  const gguf = files.filter((file) => file.name.endsWith(".gguf"));
  const folder = files.some((file) => file.name === "config.json");
  if (!folder && gguf.length === 1) return blobSource(gguf[0]!);
  if (folder) return fileListFolder(files, name);
  throw new PlaygroundError(
    "NoModelChosen",
    `${name} has no config.json and is not a .gguf file: choose the folder of a model, or one GGUF file.`,
  );
}

async function sampleFolder({ emit, signal }: Running<Progress>): Promise<ModelFolder> {
  const files = new Map<string, Uint8Array>();
  for (const [index, name] of sampleModelFiles.entries()) {
    const response = await fetch(modelUrl(name), { signal });
    files.set(name, new Uint8Array(await response.arrayBuffer()));
    const total = sampleModelFiles.length;
    emit({ label: "Loading the sample model", done: index + 1, total, unit: "files" });
  }
  return memoryFolder(files, "sample");
}
