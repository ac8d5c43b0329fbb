import { replaced, utf8, type Attack, type Files } from "../attack";
import { indexName, inShard, safetensors, sharded, weightMap, weights } from "../model";

const [first = "", second = ""] = Object.keys(weightMap);

/** The model with another index. */
const withIndex = (index: string | Uint8Array): Files => replaced(sharded, { [indexName]: index });
const withMap = (map: unknown): Files =>
  withIndex(JSON.stringify({ metadata: {}, weight_map: map }));
const pointing = (file: unknown): Files => withMap({ ...weightMap, [first]: file });
const without = (name: string, map: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(Object.entries(map).filter(([key]) => key !== name));

const text = JSON.stringify({ metadata: {}, weight_map: weightMap });

const cases: readonly (readonly [code: string, name: string, bad: Files])[] = [
  ["InvalidIndex", "an empty index", withIndex("")],
  ["InvalidIndex", "an index that is a list", withIndex("[]")],
  ["InvalidIndex", "an index that ends in the middle", withIndex(text.slice(0, -20))],
  ["InvalidIndex", "an index that is not UTF-8", withIndex(Uint8Array.of(0x7b, 0xff, 0x7d))],
  ["InvalidIndex", "a byte order mark", withIndex(`\ufeff${text}`)],
  [
    "InvalidIndex",
    "a list in a list, ten thousand times",
    withIndex(`{"weight_map":${"[".repeat(10_000)}${"]".repeat(10_000)}}`),
  ],
  ["InvalidIndex", "no map", withIndex('{"metadata":{}}')],
  ["InvalidIndex", "a map that is a list", withMap([])],
  ["MissingTensor", "an empty map", withMap({})],
  ["InvalidIndex", "a file that is a number", pointing(1)],
  [
    "InvalidIndex",
    "a tensor twice",
    withIndex(text.replace('"weight_map":{', `"weight_map":{"${first}":"odd.safetensors",`)),
  ],
  ["InvalidFileName", "a file in the folder above", pointing("../even.safetensors")],
  ["InvalidFileName", "a file anywhere", pointing("/etc/passwd")],
  ["InvalidFileName", "a file in a folder", pointing("a/even.safetensors")],
  ["InvalidFileName", "the folder itself", pointing(".")],
  ["InvalidFileName", "a file with a zero byte", pointing("even.safetensors\0")],
  ["InvalidFileName", "a file without a name", pointing("")],
  ["MissingShard", "a file that is not there", pointing("third.safetensors")],
  ["TensorInWrongShard", "the other file", pointing("odd.safetensors")],
  [
    "TensorNotInShard",
    "a tensor that no file has",
    withMap({ ...weightMap, more: "odd.safetensors" }),
  ],
  ["TensorNotInIndex", "a tensor that the index leaves out", withMap(without(second, weightMap))],
  [
    "TensorInTwoShards",
    "a tensor in both files",
    replaced(sharded, {
      "odd.safetensors": await safetensors({
        ...inShard("odd.safetensors"),
        [first]: weights[first]!,
      }),
    }),
  ],
  [
    "InvalidHeaderDeserialization",
    "a shard that is no file of tensors",
    replaced(sharded, { "odd.safetensors": utf8("\x08\0\0\0\0\0\0\0\xff\xfe\xfd".repeat(3)) }),
  ],
];

export const attacks: readonly Attack[] = cases.map(([code, name, bad]) => ({
  kind: "index",
  name,
  code,
  bad,
  twin: sharded,
}));
