import {
  folder,
  isGguf,
  openCheckpoint,
  fileSource,
} from "@transmla/tensor-io";
import { modelFolderPath } from "@transmla/sample-model";
import { stat } from "node:fs/promises";

// A folder in the Hugging Face layout, or a .safetensors or .gguf file.
const path = process.argv[2] ?? modelFolderPath();
const isFolder = (await stat(path)).isDirectory();

// #region open
const checkpoint = await openCheckpoint(
  isFolder ? folder(path) : await fileSource(path),
);
for (const {
  name,
  dtype,
  shape,
  byteLength,
} of checkpoint.tensors.values()) {
  console.log(
    name.padEnd(52),
    dtype.padEnd(6),
    shape.join(" × ").padEnd(14),
    `${byteLength} bytes`,
  );
}
// #endregion open

// #region values
const name =
  process.argv[3] ??
  [...checkpoint.tensors.keys()].find((key) => key.includes("k_proj"));
if (name) {
  // Only this tensor is read.
  const values = await checkpoint.read(name, { as: "f32" });
  const mean =
    values.reduce((sum, value) => sum + value, 0) / values.length;
  const square =
    values.reduce((sum, value) => sum + (value - mean) ** 2, 0) /
    values.length;
  console.log(
    `\n${name}: mean ${mean.toExponential(2)},`,
    `deviation ${Math.sqrt(square).toFixed(4)}`,
  );
  console.log(
    "first row begins",
    Array.from(values.slice(0, 4), (value) => value.toFixed(4)).join(
      ", ",
    ),
  );
}
// #endregion values

const bytes = [...checkpoint.tensors.values()].reduce(
  (sum, tensor) => sum + tensor.byteLength,
  0,
);
const format = isGguf(checkpoint) ? "GGUF" : "safetensors";
console.log(
  `${checkpoint.tensors.size} tensors, ${(bytes / 1e6).toFixed(1)} MB, ${format}`,
);
await checkpoint.close();
