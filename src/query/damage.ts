// Verb: after a question failed as a damaged data file would make it fail -> which file it is. Reads the files anew, each alone, so that a
// question is never taken at its word.
import { existsSync } from "node:fs";
import type { DuckConnection } from "../base/duckdb.ts";
import type { Pin, PinnedFiles } from "./pin.ts";
import { damagedFile, duckMessage, type Problem } from "./problem.ts";
import { quoteText } from "../view/render.ts";
import { LATE_EVENTS, SYSTEM_SCHEMA, VIEW_ERRORS } from "./relations.ts";

/** A relation of a question with the data files behind it. */
interface ReadFiles {
  readonly relation: string;
  readonly files: readonly string[];
}

/** The data files behind relations, which are named in lower case. */
function filesBehind(pin: Pin, names: readonly string[]): ReadFiles[] {
  const of = (relation: string, { files }: PinnedFiles): ReadFiles => ({ relation, files });
  const all = [
    ...pin.streams.map(({ stream, raw }) => of(stream, raw)),
    ...pin.viewErrors.flatMap(({ stream }) =>
      pin.streams.filter((one) => one.stream === stream).map(({ raw }) => of(VIEW_ERRORS, raw)),
    ),
    ...pin.views.map(({ view, rows }) => of(view, rows)),
    of(LATE_EVENTS, pin.lateEvents.files),
    of(`${SYSTEM_SCHEMA}.dead_letters`, pin.deadLetters.files),
  ];
  return all.filter(({ relation }) => names.includes(relation.toLowerCase()));
}

/** The first file that is not there or whose values cannot be read, as a problem; null when all can, or time ran out. */
export async function findDamage(
  connection: DuckConnection,
  read: { readonly pin: Pin; readonly names: readonly string[] },
  until: { readonly ms: number; readonly signal: AbortSignal },
): Promise<Problem | null> {
  const behind = filesBehind(read.pin, read.names);
  for (const { relation, files } of behind) {
    const missing = files.find((path) => !existsSync(path));
    if (missing !== undefined) return damagedFile(relation, missing, "it is not there");
  }
  const over = AbortSignal.any([until.signal, AbortSignal.timeout(Math.max(0, until.ms))]);
  const stop = (): void => connection.interrupt();
  over.addEventListener("abort", stop);
  try {
    for (const { relation, files } of behind)
      for (const path of files) {
        if (over.aborted) return null;
        const reason = await unreadableReason(connection, path);
        if (over.aborted) return null;
        if (reason !== null) return damagedFile(relation, path, reason);
      }
    return null;
  } finally {
    over.removeEventListener("abort", stop);
  }
}

/** Why not all values of a file can be read, or null. Each is looked at: bounds in the footer would answer for a count. */
async function unreadableReason(connection: DuckConnection, path: string): Promise<string | null> {
  try {
    await connection.run(
      `SELECT bit_xor(hash(COLUMNS(*))) FROM read_parquet([${quoteText(path)}])`,
    );
    return null;
  } catch (error) {
    return duckMessage(error);
  }
}
