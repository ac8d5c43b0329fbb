import { simd128 } from "./generated/simd128";
import { instantiate, type Kernels, type Pointer } from "./kernels";
import { Memory } from "./memory";

/** What the operations of the CPU device run on: the kernels, their memory and room for their intermediate blocks. */
export interface Runtime {
  readonly kernels: Kernels;
  readonly memory: Memory;
  readonly linearWorkspace: Pointer;
  readonly attentionWorkspace: Pointer;
}

export async function createRuntime(limit: number): Promise<Runtime> {
  const memory = new Memory(limit);
  const kernels = await instantiate(simd128, memory);
  return {
    kernels,
    memory,
    linearWorkspace: memory.allocate(kernels.linearWorkspace()),
    attentionWorkspace: memory.allocate(kernels.attentionWorkspace()),
  };
}

/** Copies whole numbers into memory. */
export function placeIntegers(memory: Memory, pointer: Pointer, integers: Int32Array): Pointer {
  new Int32Array(memory.buffer.buffer).set(integers, pointer / 4);
  return pointer;
}
