// Puts the simulator beneath the product: as modules are loaded, what they import from the outside (node:fs, bun:sqlite, timers, workers, random
// numbers, the clock) becomes the simulator's, and some bounds become small, so that small runs reach them. The product's logic stays as it is, and its
// sources are not touched. A mutation is a change of the same kind that plants a bug. A text that is not found ends the run: who moved it moves
// it here too. `Bun.plugin` works for modules that are imported later, so nothing here imports them.
import { readFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "..", "..");

/** `find` stands exactly `count` times (default once) in the module, and becomes `replace`. */
export interface Patch {
  readonly file: string;
  readonly find: string | RegExp;
  readonly replace: string;
  readonly count?: number;
}

const sim = (name: string): string => join(import.meta.dir, `${name}.ts`);

function redirect(file: string, from: string, to: string): Patch {
  return { file, find: `from "${from}"`, replace: `from "${sim(to)}"` };
}

/** A bound of src/limits.ts, whatever it is there. */
function limit(name: string, to: string): Patch {
  const find = new RegExp(`export const ${name} = [^;]*;`, "g");
  return { file: "src/limits.ts", find, replace: `export const ${name} = ${to};` };
}

/** The edges. */
const EDGES: readonly Patch[] = [
  redirect("src/base/disk-files.ts", "node:fs", "fs"),
  redirect("src/query/image-files.ts", "node:fs", "fs"),
  redirect("src/query/image-files.ts", "node:fs/promises", "fs"),
  ...[
    "src/log/log-file.ts",
    "src/checkpoint/sqlite-store.ts",
    "src/checkpoint/sqlite-damage.ts",
    "src/checkpoint/sqlite-answers.ts",
    "src/checkpoint/sqlite-closed.ts",
    "src/checkpoint/sqlite-beside.ts",
    "src/table/ledger.ts",
  ].map((file) => redirect(file, "bun:sqlite", "sqlite")),
  redirect("src/log/log-file.ts", "./wal-room.ts", "wal"),
  redirect("src/log/sqlite-log.ts", "./wal-check.ts", "wal"),
  ...["src/threads/start-engine.ts", "src/threads/export.ts"].map((file) =>
    redirect(file, "../../kernels/modules.ts", "kernels"),
  ),
  { file: "src/base/clock.ts", find: "Date.now() * 1000", replace: "wallUs()" },
  {
    file: "src/base/clock.ts",
    find: "Math.floor(performance.now() * 1000)",
    replace: "monotonicUs()",
  },
  {
    file: "src/event/decode.ts",
    find: "const powers = eiselLemirePowers();",
    replace: "const powers = knownPowers(eiselLemirePowers);",
  },
  {
    file: "kernels/host.ts",
    find: "new WebAssembly.Memory(",
    replace: "pooledMemory(",
  },
  {
    file: "kernels/host.ts",
    find: "new WebAssembly.Module(wasm)",
    replace: "compiledModule(wasm)",
  },
];

/** Names of the runtime that become the simulator's, by module. */
const GLOBALS: Readonly<Record<string, { readonly from: string; readonly names: string }>> = {
  "kernels/host.ts": { from: "wasm", names: "pooledMemory, compiledModule" },
  "src/event/decode.ts": { from: "wasm", names: "knownPowers" },
  "src/base/clock.ts": { from: "threads", names: "wallUs, monotonicUs" },
  "src/threads/fleet.ts": { from: "threads", names: "Worker, MessageChannel" },
  "src/threads/gateway.ts": { from: "threads", names: "setImmediate" },
  "src/threads/worker.ts": { from: "threads", names: "setImmediate" },
  "src/threads/engine-pins.ts": { from: "threads", names: "setTimeout" },
  "src/threads/engine.ts": { from: "threads", names: "setInterval, setTimeout" },
  "src/threads/engine-catch-up.ts": { from: "threads", names: "setImmediate, setTimeout" },
  "src/threads/log.ts": { from: "threads", names: "setInterval" },
  "src/threads/export.ts": { from: "threads", names: "setImmediate, setInterval, clearInterval" },
  "src/table/metadata-files.ts": { from: "threads", names: "crypto" },
  "src/table/metadata.ts": { from: "threads", names: "crypto" },
  "src/table/iceberg-table.ts": { from: "threads", names: "crypto" },
  "src/table/avro.ts": { from: "threads", names: "crypto" },
};

/** Bounds that a run of some hundred events should reach. */
const BOUNDS: readonly Patch[] = [
  limit("REPLAY_READ_BYTES", "4096"),
  limit("EXPORT_READ_BYTES", "4096"),
  limit("BACKLOG_READ_BYTES", "2048"),
  limit("PENDING_OUTPUT_BYTES_MAX", "2048"),
  limit("SNAPSHOTS_KEPT", "4"),
  limit("SNAPSHOTS_KEPT_MS", "20_000"),
  limit("METADATA_FILES_KEPT", "4"),
  limit("MANIFESTS_MAX", "8"),
  limit("MANIFEST_ENTRIES_MAX", "40"),
  limit("EPOCH_FILES_MAX", "3"),
  limit("EXPORT_FILES_PER_TURN", "2"),
  limit("CHANGES_EPOCH_AGE_US", "4_000_000"),
  limit("RECORD_ROWS_MAX", "24"),
];

/** Modules of workers: each `new Worker` runs the module anew, as a real one does. */
const WORKERS: Readonly<Record<string, string>> = {
  "src/threads/log.ts": "log",
  "src/threads/export.ts": "export",
  "src/threads/engine.ts": "engine",
};

/** A worker's module as a function of `self` that is told to the simulator. */
function workerModule(name: string, source: string): string {
  const imports = [...source.matchAll(/^import [\s\S]*?;\n/gm)];
  const last = imports.at(-1);
  const end = (last?.index ?? 0) + (last?.[0].length ?? 0);
  const body = source.slice(end).replace("declare const self: Worker;", "");
  if (/^export /m.test(body)) throw new Error(`worker ${name} exports nothing`);
  return `import { WORKERS } from "${sim("threads")}";\n${source.slice(0, end)}\nWORKERS.set("${name}", (self) => {\n${body}\n});\n`;
}

function patched(file: string, patches: readonly Patch[]): string {
  let source = readFileSync(join(ROOT, file), "utf8");
  for (const { find, replace, count = 1 } of patches) {
    const found = source.split(find).length - 1;
    if (found !== count)
      throw new Error(
        `${file}: "${find}" stands ${found} times, not ${count}: the simulator replaces it (test/sim/patches.ts or mutations.ts), so move both together`,
      );
    source = source.replaceAll(find, () => replace);
  }
  const added = GLOBALS[file];
  if (added !== undefined)
    source = `import { ${added.names} } from "${sim(added.from)}";\n${source}`;
  const worker = WORKERS[file];
  return worker === undefined ? source : workerModule(worker, source);
}

/** From now on modules are loaded with the simulator beneath them, and with these mutations. Throws when a text is not found. */
export function interpose(mutations: readonly Patch[]): void {
  const patches = [...EDGES, ...BOUNDS, ...mutations];
  const files = new Set([...patches.map(({ file }) => file), ...Object.keys(GLOBALS)]);
  const sources = new Map(
    [...files].map((file) => [
      join(ROOT, file),
      patched(
        file,
        patches.filter((patch) => patch.file === file),
      ),
    ]),
  );
  Bun.plugin({
    name: "simulator",
    setup(build) {
      build.onLoad({ filter: /\/(src|kernels)\/.*\.ts$/ }, ({ path }) => ({
        contents: sources.get(path) ?? readFileSync(path, "utf8"),
        loader: "ts",
      }));
    },
  });
}
