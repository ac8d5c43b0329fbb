import { test } from "vitest";
import type { Shape, Tensor } from "../../device";
import type { AttentionPart, DocumentAttention } from "../../training-device";
import { expectClose, randomTensor, soil } from "../expectations";
import { numericGradients } from "../finite-differences";
import { Random } from "../random";
import { weighed } from "./weighed";
import type { TrainingSubject } from "./subject";

interface AttentionCase {
  readonly name: string;
  readonly heads: number;
  readonly parts: readonly { readonly keyHeads: number; readonly width: number }[];
  readonly valueHeads: number;
  readonly valueDim: number;
  readonly documents: readonly number[];
  readonly tokens: number;
  readonly window?: number;
  readonly softCap?: number;
}

const attentionCases: readonly AttentionCase[] = [
  {
    name: "one token",
    heads: 1,
    parts: [{ keyHeads: 1, width: 1 }],
    valueHeads: 1,
    valueDim: 1,
    documents: [0],
    tokens: 1,
  },
  {
    name: "grouped heads, three documents",
    heads: 4,
    parts: [{ keyHeads: 2, width: 6 }],
    valueHeads: 2,
    valueDim: 5,
    documents: [0, 1, 9],
    tokens: 21,
  },
  {
    name: "two parts, one shared key, more than a block of queries",
    heads: 2,
    parts: [
      { keyHeads: 2, width: 3 },
      { keyHeads: 1, width: 1 },
    ],
    valueHeads: 1,
    valueDim: 3,
    documents: [0, 66],
    tokens: 69,
  },
  {
    name: "window and soft cap",
    heads: 1,
    parts: [{ keyHeads: 1, width: 5 }],
    valueHeads: 1,
    valueDim: 4,
    documents: [0, 5],
    tokens: 90,
    window: 11,
    softCap: 1.5,
  },
];

/** The formula of `DocumentAttention` in float64, of inputs in the order queries, keys, values. */
function attentionFormula(
  {
    heads,
    parts,
    valueHeads,
    valueDim,
    documents,
    tokens,
    window = Infinity,
    softCap,
  }: AttentionCase,
  scale: number,
  inputs: readonly Float64Array[],
): Float64Array {
  const output = new Float64Array(tokens * heads * valueDim);
  const values = inputs.at(-1)!;
  for (let t = 0; t < tokens; t++) {
    const document = documents.findLast((start) => start <= t)!;
    const first = Math.max(document, t - window + 1);
    for (let head = 0; head < heads; head++) {
      const logits = new Float64Array(t - first + 1);
      for (let n = first; n <= t; n++) {
        let sum = 0;
        for (let part = 0; part < parts.length; part++) {
          const { keyHeads, width } = parts[part]!;
          const query = (t * heads + head) * width;
          const key = (n * keyHeads + Math.floor((head * keyHeads) / heads)) * width;
          const [queries, keys] = [inputs[part]!, inputs[parts.length + part]!];
          for (let i = 0; i < width; i++) sum += queries[query + i]! * keys[key + i]!;
        }
        logits[n - first] = softCap ? softCap * Math.tanh((scale * sum) / softCap) : scale * sum;
      }
      let total = 0;
      for (const logit of logits) total += Math.exp(logit);
      const valueHead = Math.floor((head * valueHeads) / heads);
      for (let n = first; n <= t; n++) {
        const weight = Math.exp(logits[n - first]!) / total;
        for (let v = 0; v < valueDim; v++) {
          output[(t * heads + head) * valueDim + v]! +=
            weight * values[(n * valueHeads + valueHead) * valueDim + v]!;
        }
      }
    }
  }
  return output;
}

export function documentAttentionTests(subject: TrainingSubject): void {
  for (const [index, attention] of attentionCases.entries()) {
    test(`forwards and backwards: ${attention.name}`, async () => {
      const { device } = subject;
      const { heads, tokens, valueHeads, valueDim, window, softCap } = attention;
      const random = new Random(30 + index);
      const make = (columns: number) => randomTensor(device, random, [tokens, columns], 1.5);
      const queries = attention.parts.map(({ width }) => make(heads * width));
      const keys = attention.parts.map(({ keyHeads, width }) => make(keyHeads * width));
      const values = make(valueHeads * valueDim);
      const scale = 0.7;
      const input: DocumentAttention = {
        parts: attention.parts.map(({ keyHeads }, i): AttentionPart => ({
          query: queries[i]!.tensor,
          key: keys[i]!.tensor,
          keyHeads,
        })),
        values: values.tensor,
        valueHeads,
        heads,
        scale,
        window,
        softCap,
        documents: Int32Array.from(attention.documents),
      };
      const shape: Shape = [tokens, heads * valueDim];
      const all = [...queries, ...keys, values];
      const wide = all.map((each) => Float64Array.from(each.values));
      soil(device, shape);
      const result = device.training.documentAttention(input);
      await expectClose(subject, result.output, shape, attentionFormula(attention, scale, wide));

      const dy = randomTensor(device, random, shape);
      const expected = numericGradients(
        all.map((each) => each.values),
        (inputs) => weighed(attentionFormula(attention, scale, inputs), dy.values),
      );
      const gradients = device.training.documentAttentionBackward(input, result, dy.tensor);
      const actual: Tensor[] = [
        ...gradients.parts.map(({ dQuery }) => dQuery),
        ...gradients.parts.map(({ dKey }) => dKey),
        gradients.dValues,
      ];
      for (const [i, tensor] of actual.entries()) {
        await expectClose(subject, tensor, all[i]!.tensor.shape, expected[i]!);
      }
    });
  }
}
