// WASM memories of ended processes are used again, and modules are compiled once: making a memory asks the runtime for a whole garbage
// collection, which would be half of a run's time. A memory that is used again is all zeros, as a new one; only its length may be more.
import { dlopen, FFIType, ptr } from "bun:ffi";

/** Linux drops the pages of an anonymous mapping: they read as zeros. */
const MADV_DONTNEED = 4;

function openMadvise(): ((at: Uint8Array) => void) | null {
  if (process.platform !== "linux") return null;
  try {
    const { symbols } = dlopen("libc.so.6", {
      madvise: { args: [FFIType.ptr, FFIType.u64, FFIType.i32], returns: FFIType.i32 },
    });
    return (bytes) => {
      if (symbols.madvise(ptr(bytes), bytes.byteLength, MADV_DONTNEED) !== 0)
        throw new Error("madvise failed");
    };
  } catch {
    // another C library: memories are made anew
    return null;
  }
}

const drop = openMadvise();

/** Free memories and those in use, by their bounds. */
const free = new Map<string, WebAssembly.Memory[]>();
const used = new Map<string, WebAssembly.Memory[]>();
const modules = new WeakMap<object, WebAssembly.Module>();

function listOf(map: Map<string, WebAssembly.Memory[]>, key: string): WebAssembly.Memory[] {
  const list = map.get(key) ?? [];
  map.set(key, list);
  return list;
}

export function pooledMemory(bounds: {
  readonly initial: number;
  readonly maximum: number;
  readonly shared: true;
}): WebAssembly.Memory {
  const key = `${bounds.initial} ${bounds.maximum}`;
  const memory = listOf(free, key).pop() ?? new WebAssembly.Memory(bounds);
  if (drop !== null) listOf(used, key).push(memory);
  return memory;
}

/** The process has ended: nothing of it reads or writes any more. */
export function releaseMemories(): void {
  for (const [key, memories] of used) {
    for (const memory of memories.splice(0)) {
      drop?.(new Uint8Array(memory.buffer));
      listOf(free, key).push(memory);
    }
  }
}

export function compiledModule(wasm: Uint8Array | ArrayBuffer): WebAssembly.Module {
  const module = modules.get(wasm) ?? new WebAssembly.Module(wasm);
  modules.set(wasm, module);
  return module;
}

let powers: BigUint64Array | null = null;

/** A table that each start computes anew. */
export function knownPowers(compute: () => BigUint64Array): BigUint64Array {
  powers ??= compute();
  return powers;
}
