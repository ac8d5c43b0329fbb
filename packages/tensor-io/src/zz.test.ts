import { test } from "vitest";
import { decodeToF32 } from "/work/main/packages/tensor-io/src/decode";
import { encodeFromF32 } from "/work/main/packages/tensor-io/src/encode";
import { byteLengthOf } from "/work/main/packages/tensor-io/src/dtype";
import { parseHeader } from "/work/main/packages/tensor-io/src/safetensors/header";
test("bench", () => {
  const n = 576*49152;
  const v = Float32Array.from({length:n},(_, i)=>Math.sin(i)*0.1);
  for (const d of ["BF16","F16","F8_E4M3","F32"] as const) {
    let bytes!: Uint8Array; let e=1e9, t=1e9;
    for (let r=0;r<4;r++){ let s=performance.now(); bytes=encodeFromF32(v,d); e=Math.min(e,performance.now()-s); s=performance.now(); decodeToF32(bytes,d); t=Math.min(t,performance.now()-s); }
    console.log(d, "encode", (n*4/e/1e3).toFixed(0), "MB/s of f32; decode", (n*4/t/1e3).toFixed(0), "MB/s of f32");
  }
  for (const d of ["Q8_0","Q4_0","Q4_1","Q5_1","Q4_K","Q5_K","Q6_K"] as const) {
    const b=new Uint8Array(byteLengthOf(d,n)).fill(0x33); let t=1e9;
    for (let r=0;r<3;r++){ const s=performance.now(); decodeToF32(b,d); t=Math.min(t,performance.now()-s); }
    console.log(d, (n*4/t/1e3).toFixed(0), "MB/s of f32");
  }
  const big="{"+Array.from({length:800000},(_, i)=>`"model.layers.${i}.weight.${"x".repeat(40)}":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}`).join(",")+"}";
  const hb=new TextEncoder().encode(big); let s=performance.now(); try { parseHeader(hb, hb.length+8,"x"); } catch (e) { console.log((e as Error).message); } console.log("header", hb.length/1e6,"MB", performance.now()-s,"ms", process.memoryUsage().heapUsed/1e6);
}, 60000);
