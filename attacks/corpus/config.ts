import { replaced, type Attack, type Files } from "../attack";
import { config, whole } from "../model";

const text = JSON.stringify(config);

const withConfig = (content: string | Uint8Array | undefined): Files =>
  replaced(whole, { "config.json": content });
const having = (changes: Readonly<Record<string, unknown>>): Files =>
  withConfig(JSON.stringify({ ...config, ...changes }));

const cases: readonly (readonly [code: string, name: string, bad: Files])[] = [
  ["MissingConfig", "no config", withConfig(undefined)],
  ["JsonSyntax", "an empty config", withConfig("")],
  ["JsonSyntax", "a comma too many", withConfig(`${text.slice(0, -1)},}`)],
  ["JsonSyntax", "NaN", withConfig(text.replace("10000", "NaN"))],
  ["JsonSyntax", "a byte order mark", withConfig(`\ufeff${text}`)],
  ["InvalidUtf8", "bytes that are not UTF-8", withConfig(Uint8Array.of(0x7b, 0xff, 0x7d))],
  ["JsonDuplicateKey", "a key twice", withConfig(`{"vocab_size":8,${text.slice(1)}`)],
  [
    "JsonTooDeep",
    "a list in a list, a hundred thousand times",
    withConfig(`{"a":${"[".repeat(100_000)}`),
  ],
  ["InvalidConfig", "a config that is a list", withConfig("[]")],
  ["InvalidConfig", "no model type", having({ model_type: undefined })],
  ["UnsupportedModel", "an unknown model type", having({ model_type: "mamba" })],
  ["UnsupportedModel", "a model type that every object has", having({ model_type: "constructor" })],
  ["UnsupportedModel", "an unknown activation", having({ hidden_act: "tanh" })],
  [
    "UnsupportedModel",
    "an unknown scaling of RoPE",
    having({ rope_scaling: { rope_type: "longest", factor: 8 } }),
  ],
  ["InvalidConfig", "no vocabulary", having({ vocab_size: 0 })],
  ["InvalidConfig", "a negative size", having({ hidden_size: -16 })],
  ["InvalidConfig", "a size with a fraction", having({ hidden_size: 16.5 })],
  ["InvalidConfig", "a size as text", having({ hidden_size: "16" })],
  ["InvalidConfig", "a size beyond all integers", having({ intermediate_size: 1e300 })],
  ["InvalidConfig", "no layers", having({ num_hidden_layers: 0 })],
  ["InvalidConfig", "two billion layers", having({ num_hidden_layers: 2_000_000_000 })],
  ["InvalidConfig", "heads that do not divide", having({ num_key_value_heads: 3 })],
  ["InvalidConfig", "an odd head dimension", having({ head_dim: 3 })],
  ["InvalidConfig", "a norm with no epsilon", having({ rms_norm_eps: -1 })],
  ["InvalidConfig", "a base of zero", having({ rope_theta: 0 })],
  ["TensorShape", "another hidden size than the weights have", having({ hidden_size: 32 })],
  ["TensorShape", "another vocabulary than the weights have", having({ vocab_size: 1025 })],
  ["MissingTensor", "a layer more than there are weights", having({ num_hidden_layers: 3 })],
  ["UnexpectedTensor", "a layer fewer than there are weights", having({ num_hidden_layers: 1 })],
  ["MissingTensor", "an output matrix that is not there", having({ tie_word_embeddings: false })],
];

export const attacks: readonly Attack[] = cases.map(([code, name, bad]) => ({
  kind: "config",
  name,
  code,
  bad,
  twin: whole,
}));
