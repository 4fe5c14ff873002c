// Where DuckDB's native parts come from. From source: node_modules, by @duckdb/node-bindings' own require. In the compiled
// executable: a folder into which `duckdb.node` and `libduckdb.so` were unpacked (side by side: the former's rpath is $ORIGIN).
// The module is imported on first use, never at load time, so that the folder can be named before.

/** DuckDB's node API as a value. */
export type DuckDbModule = typeof import("@duckdb/node-api");

/** The binding below the node API: what table functions over raw bytes need. */
export type DuckDbBindings = typeof import("@duckdb/node-bindings");

let nativeFolder: string | null = null;

/**
 * Names the folder of the unpacked native parts. Call once, before the first DuckDB is opened. @duckdb/node-bindings/duckdb.js is one
 * file whose only work is `module.exports = require("@duckdb/node-bindings-<platform>-<arch>/duckdb.node")`: the build replaces that
 * package by one line, `module.exports = globalThis[Symbol.for("millrace.duckdb.native")]`, which `loadDuckDbModule` sets. With Bun's bundler that is a
 * plugin: onResolve of that name into a namespace of its own, onLoad gives the line. Each worker calls this for itself.
 */
export function useNativeFolder(path: string): void {
  nativeFolder = path;
}

/** The node API, its native parts loaded. Throws when they cannot be loaded, naming the file. */
export async function loadDuckDbModule(): Promise<DuckDbModule> {
  const key = Symbol.for("millrace.duckdb.native");
  if (nativeFolder !== null && Reflect.get(globalThis, key) === undefined) {
    const holder: { exports: object } = { exports: {} };
    process.dlopen(holder, `${nativeFolder}/duckdb.node`);
    Reflect.set(globalThis, key, holder.exports);
  }
  return import("@duckdb/node-api");
}

/** The binding below the node API. Call after `loadDuckDbModule`. */
export async function loadDuckDbBindings(): Promise<DuckDbBindings> {
  const loaded: { readonly default: DuckDbBindings } = await import("@duckdb/node-bindings");
  return loaded.default;
}
