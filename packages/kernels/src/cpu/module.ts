import { KernelsError } from "../errors";

/** Which build of the kernels runs: 128-bit SIMD, or relaxed SIMD with fused multiply-adds. */
export type SimdBuild = "simd128" | "relaxed";

/** A module of one function `() => { body; drop }`. */
const probe = (body: readonly number[]): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(
    [
      [0, 97, 115, 109, 1, 0, 0, 0], // magic and version
      [1, 4, 1, 96, 0, 0], // one type: () => ()
      [3, 2, 1, 0], // one function of it
      [10, body.length + 5, 1, body.length + 3, 0, ...body, 26, 11], // its code, drop, end
    ].flat(),
  );

const SPLAT = [65, 0, 253, 17]; // i32.const 0, i32x4.splat
const MADD = [253, 133, 2]; // f32x4.relaxed_madd

/** Which builds this engine can run. Node 20 knows relaxed SIMD only behind `--experimental-wasm-relaxed-simd`. */
export function supports(build: SimdBuild): boolean {
  const body = build === "simd128" ? SPLAT : [...SPLAT, ...SPLAT, ...SPLAT, ...MADD];
  return WebAssembly.validate(probe(body));
}

/** The build for an option. Throws `UnsupportedPlatform`, `InvalidArgument`. */
export function chooseBuild(option: SimdBuild | "auto"): SimdBuild {
  if (!["auto", "simd128", "relaxed"].includes(option)) {
    const message = `Unknown simd "${String(option)}"; use "auto", "simd128" or "relaxed".`;
    throw new KernelsError("InvalidArgument", message, { simd: option });
  }
  if (!supports("simd128")) {
    throw new KernelsError(
      "UnsupportedPlatform",
      "The CPU device needs WebAssembly SIMD (Node 16, Chrome 91, Firefox 89, Safari 16.4 or later).",
    );
  }
  if (option === "auto") return supports("relaxed") ? "relaxed" : "simd128";
  if (!supports(option)) {
    throw new KernelsError(
      "UnsupportedPlatform",
      'This engine has no relaxed SIMD (Node 22, Chrome 114, Firefox 145 or later); use simd "auto".',
      { simd: option },
    );
  }
  return option;
}

/** Compiles a build for shared or unshared memory, which the import must name: it is one flag of the same module. */
export async function compile(base64: string, shared: boolean): Promise<WebAssembly.Module> {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  if (shared) bytes[memoryFlags(bytes)] = 3;
  return WebAssembly.compile(bytes);
}

/** Where the limits of the import `env.memory` begin: flags, 1 for "has a maximum" and 3 for "and is shared". */
function memoryFlags(bytes: Uint8Array): number {
  const text = (word: string) => [word.length, ...new TextEncoder().encode(word)];
  const entry = [...text("env"), ...text("memory"), 2, 1]; // kind 2: memory
  const at = bytes.findIndex((_, i) => entry.every((byte, j) => bytes[i + j] === byte));
  return at + entry.length - 1;
}
