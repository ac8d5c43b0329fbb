import { existsSync } from "node:fs";

/** A Chromium of the system, and the folder where it has a Vulkan loader and SwiftShader, a GPU in software. */
interface Browser {
  readonly executable: string;
  readonly folder: string;
}

const known: readonly Browser[] = [
  { executable: "/usr/bin/chromium", folder: "/usr/lib/chromium" },
  { executable: "/usr/bin/google-chrome", folder: "/opt/google/chrome" },
];

const found = known.find(({ folder }) => existsSync(`${folder}/vk_swiftshader_icd.json`));

/** Whether WebGPU can run here without a graphics card. */
export const hasSoftwareGpu = found !== undefined;

/** The browser that tests are run in: TRANSMLA_CHROMIUM, or one that is installed. */
export const chromiumPath: string =
  process.env["TRANSMLA_CHROMIUM"] ?? (found ?? known[0]!).executable;

/**
 * Lets processes that are started from here find the software GPU. With TRANSMLA_GPU=hardware the machine's own drivers are used
 * instead.
 */
export function offerSoftwareGpu(): void {
  if (!found || process.env["TRANSMLA_GPU"] === "hardware") return;
  process.env["VK_ICD_FILENAMES"] ??= `${found.folder}/vk_swiftshader_icd.json`;
  const libraries = process.env["LD_LIBRARY_PATH"];
  process.env["LD_LIBRARY_PATH"] = libraries ? `${libraries}:${found.folder}` : found.folder;
}
