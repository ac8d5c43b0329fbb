import type { WeightStorage } from "@transmla/kernels";
import { weightFormats } from "../formats/weight-formats";
import type { Block } from "../runtime/buffer-pool";
import type { Gpu } from "../runtime/gpu";
import type { Grid } from "../runtime/recorder";
import { reads, writes, type Kernel } from "../wgsl/kernel";
import { rowElement, rowReader } from "../wgsl/rows";
import { matrixTile } from "./linear-tile";
import { fewRows } from "./linear-few-rows";
import { rowElements, type GpuWeight } from "./weights";

/** Rows up to which the weights are read once for every four of them; beyond, tiles of weights are shared by many rows. */
const FEW_ROWS = 8;

/** Which rows of which experts a product of a mixture takes. See `experts.ts`. */
export interface ListedRows {
  /** `[experts][1 + tokens]`: how many rows an expert has, then which. */
  readonly lists: Block;
  readonly tokens: number;
  readonly expert: number;
  readonly experts: number;
  /** `in`: rows of `x` are those listed; `out`: `y[listed] += share * result`. */
  readonly side: "in" | "out";
  /** `[tokens, experts]`, for `out`. */
  readonly shares?: Block | undefined;
  readonly grid: Grid;
}

export interface Product {
  readonly x: Block;
  /** Rows of `x`; with `listed` the most there can be. */
  readonly rows: number;
  readonly y: Block;
  readonly weight: GpuWeight;
  /** `[1, outputs]` */
  readonly bias?: Block | undefined;
  /**
   * `x` is `[tokens, heads * inputs]`, and every run of heads has its own block of rows of the weight; of the tokens
   * `firstToken … firstToken + rows / (heads / blocks) - 1` are multiplied.
   */
  readonly perHead?:
    | { readonly heads: number; readonly blocks: number; readonly firstToken: number }
    | undefined;
  readonly listed?: ListedRows | undefined;
}

/** What tells the kernels of products apart. */
export interface ProductVariant {
  readonly storage: WeightStorage;
  readonly aligned: boolean;
  readonly listed: "in" | "out" | "none";
}

/** `y = x W^T + b` in float32; see `Product`. */
export function multiply(gpu: Gpu, product: Product): void {
  const { weight, rows, perHead, listed, bias } = product;
  const [outputs, inputs] = weight.shape;
  const blocks = perHead?.blocks ?? 1;
  const variant: ProductVariant = {
    storage: weight.storage,
    aligned: inputs % 4 === 0,
    listed: listed?.side ?? "none",
  };
  const shape = productShape(gpu, variant, rows);
  const key = JSON.stringify(["linear", variant, shape.key]);
  for (const part of weight.parts) {
    const partOutputs = perHead ? outputs / blocks : part.rows;
    const heads = perHead?.heads ?? 1;
    gpu.run(
      key,
      () => shape.kernel(),
      [
        rows,
        inputs,
        partOutputs,
        perHead ? partOutputs : outputs,
        part.first,
        rowElements(weight),
        weightFormats[weight.storage].tailWord(inputs),
        heads / blocks,
        heads,
        perHead?.firstToken ?? 0,
        listed ? listed.expert * (listed.tokens + 1) : 0,
        listed?.expert ?? 0,
        listed?.experts ?? 0,
        bias ? 1 : 0,
      ],
      [
        product.x,
        part.block,
        product.y,
        // Without a bias something has to be bound in its place.
        bias ?? product.x,
        ...(listed ? [listed.lists] : []),
        ...(listed?.shares ? [listed.shares] : []),
      ],
      listed?.grid ?? {
        grid: [
          Math.ceil(partOutputs / shape.tileOutputs),
          Math.ceil(rows / shape.tileRows),
          blocks,
        ],
      },
    );
  }
}

/** The kernel that suits a number of rows, and what one of its workgroups makes. */
export function productShape(
  gpu: Gpu,
  variant: ProductVariant,
  rows: number,
): { key: string; tileRows: number; tileOutputs: number; kernel: () => Kernel } {
  return rows <= FEW_ROWS ? fewRows(variant, rows, gpu.subgroupSize) : matrixTile(variant, rows);
}

/** Parameters and buffers of all products, and the functions by which they read rows and leave results. */
export function productFrame({ storage, aligned, listed }: ProductVariant) {
  const format = weightFormats[storage];
  const rowOf = {
    none: "(r / params.group + params.firstToken) * params.heads + workgroup_id_z * params.group + r % params.group",
    in: "lists[params.listAt + 1u + r]",
    out: "r",
  }[listed];
  const store = {
    none: `y[row_of(r) * params.yColumns + params.firstOutput + o] = select(sum, sum + bias[params.firstOutput + o], params.biased == 1u);`,
    in: "y[r * params.yColumns + params.firstOutput + o] = sum;",
    out: `let token = lists[params.listAt + 1u + r];
  let at = token * params.yColumns + params.firstOutput + o;
  y[at] = y[at] + shares[token * params.experts + params.expert] * sum;`,
  }[listed];
  return {
    params: {
      rows: "u32",
      inputs: "u32",
      outputs: "u32",
      yColumns: "u32",
      firstOutput: "u32",
      rowElements: "u32",
      tail: "u32",
      group: "u32",
      heads: "u32",
      firstToken: "u32",
      listAt: "u32",
      expert: "u32",
      experts: "u32",
      biased: "u32",
    },
    buffers: {
      x: reads(rowElement(aligned)),
      weights: reads(format.element),
      y: writes("f32"),
      bias: reads("f32"),
      ...(listed === "none" ? {} : { lists: reads("u32") }),
      ...(listed === "out" ? { shares: reads("f32") } : {}),
    },
    declarations: /* wgsl */ `${format.code}
${rowReader("x", "params.inputs", aligned)}
/** The block of heads; one for all other products. */
var<private> workgroup_id_z: u32;
fn row_of(r: u32) -> u32 { return ${rowOf}; }
fn store(r: u32, o: u32, sum: f32) {
  ${store}
}`,
    rowCount: listed === "none" ? "params.rows" : "lists[params.listAt]",
  } as const;
}
