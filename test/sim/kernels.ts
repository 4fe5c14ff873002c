// Stands in for kernels/modules.ts: the same bytes, read once before the run, so that nothing in it waits for the real machine.
import { readFileSync } from "node:fs";
import { join } from "node:path";

const FOLDER = join(import.meta.dir, "..", "..", "build");

const modules = new Map<string, Uint8Array>();

/** Bytes of one module. */
export function kernelModule(name: "decode" | "admit" | "fold" | "export"): Promise<Uint8Array> {
  const known = modules.get(name) ?? new Uint8Array(readFileSync(join(FOLDER, `${name}.wasm`)));
  modules.set(name, known);
  return Promise.resolve(known);
}
