import type { Device } from "@transmla/kernels";
import { formatJson, sha256 } from "@transmla/tensor-io";
import type { ConversionPlan } from "../plan";

/** Changes whenever a conversion would make other layers of the same input. */
const CONVERSION_VERSION = 1;

/**
 * What determines the layers of a conversion: method and sizes, calibration tokens, device, and the model by its config, its tensors'
 * names, types and shapes and the first row of each (reading all of a checkpoint twice would cost minutes).
 */
export async function conversionFingerprint(
  { files, method, methodSizes, tensors }: ConversionPlan,
  calibration: readonly Int32Array[],
  device: Device,
): Promise<string> {
  const { checkpoint, configJson } = files;
  const parts: string[] = [
    `${CONVERSION_VERSION} ${method} ${device.name}`,
    JSON.stringify(methodSizes),
    // Layers run on the calibration text in the type in which they are written.
    tensors
      .flatMap(({ convertedLayer, dtype }) => (convertedLayer === undefined ? [] : [dtype]))
      .join(),
    formatJson(configJson),
  ];
  for (const { name, dtype, shape } of checkpoint.tensors.values()) {
    const rows = shape.length > 1 ? { rows: [0, 1] as const } : {};
    parts.push(
      `${name} ${dtype} ${shape.join()}`,
      await sha256(await checkpoint.readBytes(name, rows)),
    );
  }
  for (const tokens of calibration) {
    const bytes = new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength);
    parts.push(await sha256(bytes));
  }
  return sha256(new TextEncoder().encode(parts.join("\n")));
}
