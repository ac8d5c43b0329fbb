/**
 * How large a package may be, in KiB: `packed` is the tarball without what it depends on, `bundle` a browser's bundle of everything it exports with all
 * that it depends on, minified and gzipped; packages without one are for Node. Whoever raises a number says why in the commit.
 */
export const budgets = {
  "@transmla/conversion": { packed: 330, bundle: 70 },
  "@transmla/evaluation": { packed: 90, bundle: 24 },
  "@transmla/generation": { packed: 290, bundle: 64 },
  "@transmla/kernels": { packed: 710, bundle: 88 },
  "@transmla/kernels-gpujs": { packed: 72, bundle: 190 },
  "@transmla/kernels-webgpu": { packed: 280, bundle: 43 },
  "@transmla/latent-cache": { packed: 66, bundle: 15 },
  "@transmla/low-rank": { packed: 190, bundle: 21 },
  "@transmla/models": { packed: 215, bundle: 40 },
  "@transmla/sample-model": { packed: 4700, bundle: 3 },
  "@transmla/server": { packed: 118, bundle: 19 },
  "@transmla/tensor-io": { packed: 220, bundle: 23 },
  "@transmla/training": { packed: 165, bundle: 29 },
  transmla: { packed: 175 },
};

/** Texts that show that something came along: WebAssembly in base64, the reader of GGUF, the engine of chat templates. */
const [wasm, gguf, templates] = ["AGFzbQ", "general.alignment", "{%"];

/**
 * What a browser's bundle of a few names may hold, minified and gzipped, in KiB, and what must not be in it because these names do not need it.
 * A part of the library for templates stays with whatever comes from `generation`: bundlers cannot know that its top level does nothing.
 */
export const shakes = [
  {
    from: "@transmla/tensor-io",
    names: ["openSafetensors"],
    bundle: 8,
    absent: [wasm, gguf, templates],
  },
  {
    from: "@transmla/tensor-io",
    names: ["writeSafetensors"],
    bundle: 6,
    absent: [wasm, gguf, templates],
  },
  { from: "@transmla/kernels", names: ["referenceDevice"], bundle: 15, absent: [wasm] },
  { from: "@transmla/kernels-webgpu", names: ["webgpuDevice"], bundle: 42, absent: [wasm] },
  { from: "@transmla/latent-cache", names: ["PagedCache"], bundle: 5, absent: [wasm, gguf] },
  {
    from: "@transmla/models",
    names: ["openModel", "loadModel"],
    bundle: 30,
    absent: [wasm, templates],
  },
  {
    from: "@transmla/generation",
    names: ["streamText"],
    bundle: 10,
    absent: [wasm, gguf],
  },
  {
    from: "@transmla/generation",
    names: ["loadTokenizer"],
    bundle: 22,
    absent: [wasm],
  },
  { from: "@transmla/evaluation", names: ["Deployment"], bundle: 10, absent: [wasm, gguf] },
  {
    from: "@transmla/server",
    names: ["openaiHandler"],
    bundle: 20,
    absent: [wasm, gguf, templates],
  },
];
