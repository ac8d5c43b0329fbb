import { skip } from "../rows.mjs";

export async function wllama() {
  const row = (name, target) =>
    skip(
      {
        group: "wllama in Chromium",
        name,
        peerName: "wllama, best of F32 and F16",
        unit: "tokens/s",
        target,
      },
      "not measured yet",
    );
  return [row("decode, context 128", "≥ 4"), row("prefill", "≥ 2")];
}
