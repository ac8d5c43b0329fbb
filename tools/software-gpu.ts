import { existsSync } from "node:fs";

const folder = "/usr/lib/chromium";

/** Whether the `chromium` package of Debian is here, which brings a Vulkan loader and SwiftShader, a GPU in software. */
export const hasSoftwareGpu = existsSync(`${folder}/vk_swiftshader_icd.json`);

/**
 * Lets processes that are started from here find that software GPU, so that WebGPU is tested where there is no graphics card. With
 * TRANSMLA_GPU=hardware the machine's own drivers are used instead.
 */
export function offerSoftwareGpu(): void {
  if (!hasSoftwareGpu || process.env["TRANSMLA_GPU"] === "hardware") return;
  process.env["VK_ICD_FILENAMES"] ??= `${folder}/vk_swiftshader_icd.json`;
  const libraries = process.env["LD_LIBRARY_PATH"];
  process.env["LD_LIBRARY_PATH"] = libraries ? `${libraries}:${folder}` : folder;
}
