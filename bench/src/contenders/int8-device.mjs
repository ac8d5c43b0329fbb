import { encodeBlocks } from "../model/gguf-blocks.mjs";

/**
 * Makes a device keep every matrix that arrives in bf16 as blocks of 8 bits (`q8_0`: a scale per 32 numbers), and, with
 * `cache`, every cached row as 8 bits with one scale. It is what a loader with such options would ask for.
 */
export function keepInt8(device, { cache }) {
  const weight = device.weight.bind(device);
  const writeRows = device.writeRows.bind(device);
  const pagePool = device.pagePool.bind(device);
  device.weight = (shape) => weight(shape, "q8_0");
  device.writeRows = (to, first, bytes) => {
    const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
    const values = new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer);
    writeRows(to, first, encodeBlocks(values, "Q8_0"));
  };
  if (cache) device.pagePool = (layout) => pagePool({ ...layout, storage: "i8" });
}
