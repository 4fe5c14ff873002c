// Wiring of the query child process: `bun src/threads/query-child.ts <socket> <ChildOptions as JSON>`.
import { openDiskFiles } from "../base/disk-files.ts";
import { must } from "../base/assert.ts";
import { openSqliteLogReader } from "../log/sqlite-log-reader.ts";
import { runQueryChild } from "../query/child.ts";
import type { ChildOptions } from "../query/wire.ts";

/** Runs the child with the two arguments that its parent gave. */
export async function startQueryChild(args: readonly string[]): Promise<void> {
  const options = JSON.parse(must(args[1], "options of the query child")) as ChildOptions;
  await runQueryChild(must(args[0], "socket of the query child"), options, {
    openLog: (folder) => openSqliteLogReader(folder, openDiskFiles(null)),
  });
}

if (import.meta.main) await startQueryChild(process.argv.slice(2));
