// The host side of WASM: one instance of a kernel module with a memory of its own, and room in it. Knows no product nouns.
import { KERNEL_STATIC_BYTES } from "./abi.ts";

const PAGE_BYTES = 65_536;

/**
 * An instance of a module and its memory. Views are taken anew after the memory has grown: use `u8()` and its siblings once per
 * step, never keep them across one. Room is handed out from the bottom and never taken back: long-lived buffers only.
 */
export class KernelInstance<E extends object> {
  readonly memory: WebAssembly.Memory;
  readonly call: E;
  #next = KERNEL_STATIC_BYTES;

  constructor(memory: WebAssembly.Memory, call: E) {
    this.memory = memory;
    this.call = call;
  }

  /** Address of `bytes` new bytes, on a multiple of 64, zeroed. Throws RangeError when the memory's maximum is reached. */
  allocate(bytes: number): number {
    const address = this.#next;
    const end = address + Math.ceil(bytes / 64) * 64;
    const missing = Math.ceil((end - this.memory.buffer.byteLength) / PAGE_BYTES);
    if (missing > 0) this.memory.grow(missing);
    this.#next = end;
    return address;
  }

  u8(): Uint8Array {
    return new Uint8Array(this.memory.buffer);
  }
  u32(): Uint32Array {
    return new Uint32Array(this.memory.buffer);
  }
  i64(): BigInt64Array {
    return new BigInt64Array(this.memory.buffer);
  }
  f64(): Float64Array {
    return new Float64Array(this.memory.buffer);
  }
}

/** Instantiates a compiled module with a fresh shared memory of at most `bytesMax` (4 GiB at most). */
export function instantiate<E extends object>(
  wasm: Uint8Array | ArrayBuffer,
  bytesMax: number,
): KernelInstance<E> {
  const memory = new WebAssembly.Memory({
    initial: KERNEL_STATIC_BYTES / PAGE_BYTES,
    maximum: Math.floor(bytesMax / PAGE_BYTES),
    shared: true,
  });
  const abort = (_message: number, _file: number, line: number, column: number): never => {
    throw new Error(`kernel aborted at ${line}:${column}`);
  };
  const instance = new WebAssembly.Instance(new WebAssembly.Module(wasm), {
    env: { memory, abort },
  });
  return new KernelInstance<E>(memory, instance.exports as unknown as E);
}
