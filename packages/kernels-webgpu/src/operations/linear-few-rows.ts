import { weightFormats } from "../formats/weight-formats";
import type { Kernel } from "../wgsl/kernel";
import { productFrame, type ProductVariant } from "./linear";

const WORKGROUP = 128;
/** Invocations of a team. */
const LANES = 32;
/** Rows of the weight that one team of invocations multiplies. */
const OUTPUTS = 2;

/**
 * Products of few rows, bound by reading the weights: a team of invocations shares two rows of the weight, each taking every
 * so-manieth group of numbers, and their sums are added at the end.
 */
export function fewRows(variant: ProductVariant, rows: number, subgroupSize: number | undefined) {
  const tokens = rows === 1 ? 1 : 4;
  const subgroup = subgroupSize !== undefined && subgroupSize <= LANES ? subgroupSize : 1;
  return {
    key: `few-rows/${tokens}/${subgroup}`,
    tileRows: tokens,
    tileOutputs: (WORKGROUP / LANES) * OUTPUTS,
    kernel: () => kernel(variant, tokens, subgroup),
  };
}

function kernel(variant: ProductVariant, tokens: number, subgroup: number): Kernel {
  const format = weightFormats[variant.storage];
  const { rowCount, ...frame } = productFrame(variant);
  const pairs = range(OUTPUTS).flatMap((o) =>
    range(tokens).map((t) => ({ o, t, i: o * tokens + t })),
  );
  const perGroup = format.scale === "group";
  const lines = (make: (pair: (typeof pairs)[number]) => string) => pairs.map(make).join("\n");
  const each = (count: number, make: (i: number) => string) => range(count).map(make).join("\n");
  const sums = LANES / subgroup;
  return {
    name: `linear ${variant.storage}, ${tokens} rows`,
    ...frame,
    workgroup: WORKGROUP,
    subgroups: subgroup > 1,
    declarations: /* wgsl */ `${frame.declarations}
var<workgroup> partial: array<f32, ${(WORKGROUP / LANES) * pairs.length * sums}>;`,
    body: /* wgsl */ `
  workgroup_id_z = workgroup_id.z;
  let rows = ${rowCount};
  let team = local / ${LANES}u;
  let part = local % ${LANES}u;
  let output = (workgroup_id.x * ${WORKGROUP / LANES}u + team) * ${OUTPUTS}u;
  let first = workgroup_id.y * ${tokens}u;
  // Rows beyond the last are computed from the last and not stored.
  ${each(OUTPUTS, (o) => `let w${o} = workgroup_id.z * params.outputs + min(output + ${o}u, params.outputs - 1u);`)}
  ${each(tokens, (t) => `let x${t} = row_of(min(first + ${t}u, rows - 1u));`)}
  ${lines(({ i }) => `var s${i} = 0.0;`)}
  for (var column = part * ${format.group}u; column < params.inputs; column += ${LANES * format.group}u) {
    ${perGroup ? lines(({ i }) => `var a${i} = 0.0;`) : ""}
    ${format.shifted ? each(tokens, (t) => `var b${t} = 0.0;`) : ""}
    for (var c = column; c < column + ${format.group}u; c += 4u) {
      ${each(tokens, (t) => `let xq${t} = x_quad(x${t}, c / 4u);`)}
      ${each(OUTPUTS, (o) => `let wq${o} = raw4(w${o}, c);`)}
      ${lines(({ o, t, i }) => `${perGroup ? "a" : "s"}${i} += dot(wq${o}, xq${t});`)}
      ${format.shifted ? each(tokens, (t) => `b${t} += dot(xq${t}, vec4<f32>(1.0));`) : ""}
    }
    ${
      perGroup
        ? each(OUTPUTS, (o) => `let scale${o} = scaleOf(w${o}, column);`) +
          lines(({ o, t, i }) => {
            const minimum = format.shifted ? ` + scale${o}.y * b${t}` : "";
            return `s${i} += scale${o}.x * a${i}${minimum};`;
          })
        : ""
    }
  }
  ${subgroup > 1 ? lines(({ i }) => `s${i} = subgroupAdd(s${i});`) : ""}
  ${subgroup > 1 ? "if (lane == 0u) {" : "{"}
    let at = team * ${pairs.length * sums}u + part / ${subgroup}u;
    ${lines(({ i }) => `partial[at + ${i * sums}u] = s${i};`)}
  }
  workgroupBarrier();
  if (part < ${pairs.length}u) {
    var sum = 0.0;
    let at = team * ${pairs.length * sums}u + part * ${sums}u;
    for (var i = 0u; i < ${sums}u; i++) { sum += partial[at + i]; }
    let o = output + part / ${tokens}u;
    let r = first + part % ${tokens}u;
    if (o < params.outputs && r < rows) {
      ${format.scale === "row" ? "sum *= scaleOf(workgroup_id.z * params.outputs + o, 0u).x;" : ""}
      store(r, o, sum);
    }
  }`,
  };
}

const range = (n: number) => Array.from({ length: n }, (_, i) => i);
