// Where DuckDB's native parts come from. From source: node_modules, by @duckdb/node-bindings' own require. In the compiled
// executable: a folder into which `duckdb.node` and `libduckdb.so` were unpacked (side by side: the former's rpath is $ORIGIN).
// The module is imported on first use, never at load time, so that the folder can be named before.

import { unpackedFolder } from "./unpack.ts";

/** DuckDB's node API as a value. */
export type DuckDbModule = typeof import("@duckdb/node-api");

/** The binding below the node API: what table functions over raw bytes need. */
export type DuckDbBindings = typeof import("@duckdb/node-bindings");

/**
 * @duckdb/node-bindings/duckdb.js is one file whose only work is to require "@duckdb/node-bindings-<platform>-<arch>/duckdb.node". The
 * build replaces that package by `module.exports = globalThis[Symbol.for("millrace.duckdb.native")]` (tools/build.ts), which
 * `loadDuckDbModule` sets, once in each thread.
 */
const NATIVE = Symbol.for("millrace.duckdb.native");

/** The node API, its native parts loaded. Throws when they cannot be loaded, naming the file. */
export async function loadDuckDbModule(): Promise<DuckDbModule> {
  const nativeFolder = unpackedFolder();
  if (nativeFolder !== null && Reflect.get(globalThis, NATIVE) === undefined) {
    const holder: { exports: object } = { exports: {} };
    process.dlopen(holder, `${nativeFolder}/duckdb.node`);
    Reflect.set(globalThis, NATIVE, holder.exports);
  }
  return import("@duckdb/node-api");
}

/** The binding below the node API. Call after `loadDuckDbModule`. */
export async function loadDuckDbBindings(): Promise<DuckDbBindings> {
  const loaded: { readonly default: DuckDbBindings } = await import("@duckdb/node-bindings");
  return loaded.default;
}
