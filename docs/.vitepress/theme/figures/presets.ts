/** Grouped attention of well-known models, from their config.json. */
export interface Preset {
  readonly name: string;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

export const presets: readonly Preset[] = [
  { name: "Llama 3 8B", layers: 32, heads: 32, kvHeads: 8, headDim: 128 },
  { name: "Llama 3 70B", layers: 80, heads: 64, kvHeads: 8, headDim: 128 },
  { name: "Llama 2 7B", layers: 32, heads: 32, kvHeads: 32, headDim: 128 },
  { name: "Qwen2.5 7B", layers: 28, heads: 28, kvHeads: 4, headDim: 128 },
  { name: "SmolLM2 135M", layers: 30, heads: 9, kvHeads: 3, headDim: 64 },
  { name: "the sample model", layers: 6, heads: 8, kvHeads: 4, headDim: 32 },
];
