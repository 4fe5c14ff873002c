// Adapter of the checkpoint store: `state.db`, one SQLite database, one transaction per checkpoint. Owns the schema and the only
// statements that touch it. It knows nothing of what pages and bodies mean.
import { Database } from "bun:sqlite";
import { assert, must } from "../base/assert.ts";
import { durably } from "../base/failpoints.ts";
import type { Files } from "../base/files.ts";
import { STATE_PAGE_BYTES, STATE_WAL_BYTES_MAX } from "../limits.ts";
import type { ViewOutput } from "../window/output.ts";
import { allAnswers, changeAnswers } from "./sqlite-answers.ts";
import { changeClosed, closedWindows } from "./sqlite-closed.ts";
import { checked, damaged, hashOf, openError, type Stored } from "./sqlite-damage.ts";
import { prepareSchema, presentNewer, readValue, refuseForeign } from "./sqlite-schema.ts";
import {
  CheckpointError,
  CheckpointFailedError,
  type CheckpointChange,
  type CheckpointStore,
  type IdSegment,
  type LoadedCheckpoint,
  type NumberedSegment,
  type ReaderCheckpoint,
  type StatePage,
} from "./store.ts";

const PAGES_PER_SPACE = 0x1_0000_0000;

type ReaderRow = Stored & { readonly name: string; readonly position: number };
type SegmentRow = Stored & {
  readonly id: number;
  readonly stream: string;
  readonly newest_received_at: number;
};

/**
 * Opens or makes `state.db` at `path` for the data folder of `jobId`. What a killed process left is synced first, so that nothing is
 * trimmed for a checkpoint that a power cut could still take back. Throws CheckpointError with advice when the file is not ours.
 */
export function openCheckpointStore(path: string, files: Files, jobId: string): CheckpointStore {
  if (files.exists(`${path}-wal`)) files.sync(`${path}-wal`, "checkpoint.recover.sync");
  // for this user alone, as -wal and -shm are then too; SQLite's own would be open to all
  if (!files.exists(path)) files.writeSynced(path, [], "checkpoint.file.make");
  const database = new Database(path, { readwrite: true, create: false });
  try {
    database.run("PRAGMA busy_timeout = 5000");
    database.run(`PRAGMA page_size = ${STATE_PAGE_BYTES}`);
    database.run("PRAGMA journal_mode = WAL");
    database.run("PRAGMA synchronous = FULL");
    database.run(`PRAGMA journal_size_limit = ${STATE_WAL_BYTES_MAX}`);
    // a save is over when it is durable in the -wal: `merge` does the rest
    database.run("PRAGMA wal_autocheckpoint = 0");
    prepareSchema(database, { path, files }, jobId);
    return new SqliteCheckpointStore(path, files, database);
  } catch (error) {
    database.close();
    throw openError(error, path);
  }
}

/**
 * Opens `state.db` to read it, every index checked, and changes nothing: `save` fails. Null: no checkpoint was ever saved. Throws as
 * `openCheckpointStore`.
 */
export function readCheckpointStore(
  path: string,
  files: Files,
  jobId: string,
): CheckpointStore | null {
  if (files.sizeBytes(path) + files.sizeBytes(`${path}-wal`) === 0) return null;
  const database = new Database(path, { readonly: true });
  try {
    if (readValue<number>(database, "SELECT count(*) FROM sqlite_schema") === 0) {
      database.close();
      return null;
    }
    const said = readValue<string>(database, "PRAGMA integrity_check(1)");
    if (said !== "ok") throw new CheckpointError(damaged(path, said));
    refuseForeign(database, path, jobId);
    presentNewer(database);
    return new SqliteCheckpointStore(path, files, database);
  } catch (error) {
    database.close();
    throw openError(error, path);
  }
}

class SqliteCheckpointStore implements CheckpointStore {
  readonly #path: string;
  readonly #files: Files;
  readonly #database: Database;
  #failure: CheckpointFailedError | null = null;
  /** A process before may have left something. */
  #isMerged = false;

  constructor(path: string, files: Files, database: Database) {
    this.#path = path;
    this.#files = files;
    this.#database = database;
  }

  load(): LoadedCheckpoint {
    return {
      readers: [...this.#readers()],
      outputs: [...this.#outputs()],
      pages: this.#pages(),
      segments: this.#segments(),
      closedWindows: closedWindows(this.#database),
      answers: allAnswers(this.#database, this.#path),
    };
  }

  save(change: CheckpointChange): void {
    this.#isMerged = false;
    this.#latched("checkpoint.save", () => {
      this.#database.run("BEGIN IMMEDIATE");
      this.#remove(change);
      this.#insert(change);
      changeClosed(this.#database, { parts: change.closedParts, dropped: change.droppedParts });
      changeAnswers(this.#database, change);
      this.#files.reach("checkpoint.save.inside");
      this.#database.run("COMMIT");
    });
  }

  merge(): void {
    if (this.#isMerged) return;
    this.#latched("checkpoint.merge", () => {
      // passive: what a reader still needs stays until the next time
      this.#database.run("PRAGMA wal_checkpoint(PASSIVE)");
    });
    this.#isMerged = true;
  }

  /** The first failure is the last call. */
  #latched(step: "checkpoint.save" | "checkpoint.merge", run: () => void): void {
    if (this.#failure !== null) throw this.#failure;
    try {
      durably(this.#files, step, run);
    } catch (cause) {
      this.#failure = new CheckpointFailedError(
        `the checkpoint could not be saved in ${this.#path}: ${String(cause)}. Check the disk and its free room, then start again: the ` +
          "checkpoint before is whole and the log holds what follows it",
        { cause },
      );
      throw this.#failure;
    }
  }

  sizeBytes(): number {
    return this.#files.sizeBytes(this.#path) + this.#files.sizeBytes(`${this.#path}-wal`);
  }

  close(): void {
    this.#database.close(true);
  }

  #remove(change: CheckpointChange): void {
    const database = this.#database;
    {
      using statement = database.prepare("DELETE FROM readers WHERE name = ?");
      for (const name of change.removedReaders) statement.run(name);
    }
    {
      using statement = database.prepare("DELETE FROM pages WHERE place = ?");
      const spaces = this.#spaceIds(change.freedPages);
      for (const { space, page } of change.freedPages)
        statement.run(placeOf(must(spaces.get(space), space), page));
    }
    {
      using statement = database.prepare(
        "DELETE FROM outputs WHERE view = ? AND kind = ? AND position <= ?",
      );
      for (const { view, kind, position } of change.coveredOutputs)
        statement.run(view, kind, position);
    }
    {
      using statement = database.prepare(
        "DELETE FROM segments WHERE stream = ? AND newest_received_at < ?",
      );
      for (const { stream, beforeUs } of change.expiredSegments) statement.run(stream, beforeUs);
    }
    using statement = database.prepare("DELETE FROM segments WHERE stream = ? AND id <= ?");
    for (const { stream, through } of change.sealedSegments) statement.run(stream, through);
  }

  #insert(change: CheckpointChange): void {
    this.#insertReaders(change.readers);
    this.#insertPages(change.pages);
    const database = this.#database;
    {
      using statement = database.prepare(
        "INSERT INTO outputs (view, kind, op, position, row_count, hash, bytes) VALUES (?, ?, ?, ?, ?, ?, ?)",
      );
      for (const { view, kind, op = null, position, rowCount, image } of change.outputs) {
        const hash = hashOf(outputKey({ view, kind, op, position }), image);
        statement.run(view, kind, op, position, rowCount, hash, image);
      }
    }
    using statement = database.prepare(
      "INSERT INTO segments (stream, newest_received_at, hash, bytes) VALUES (?, ?, ?, ?)",
    );
    for (const { stream, newestReceivedAtUs, bytes } of change.segments) {
      const hash = hashOf(segmentKey(stream, newestReceivedAtUs), bytes);
      statement.run(stream, newestReceivedAtUs, hash, bytes);
    }
  }

  #insertReaders(readers: readonly ReaderCheckpoint[]): void {
    using statement = this.#database.prepare(
      `INSERT INTO readers VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET position = excluded.position,
       hash = excluded.hash, bytes = excluded.bytes WHERE excluded.position >= position`,
    );
    for (const { name, position, body } of readers) {
      const hash = hashOf(readerKey(name, position), body);
      const { changes } = statement.run(name, position, hash, body);
      assert(changes === 1, `reader ${name} does not go back to ${position}`);
    }
  }

  #insertPages(pages: readonly StatePage[]): void {
    const spaces = this.#spaceIds(pages);
    using statement = this.#database.prepare("INSERT OR REPLACE INTO pages VALUES (?, ?, ?)");
    for (const { space, page, bytes } of pages)
      statement.run(
        placeOf(must(spaces.get(space), space), page),
        hashOf(pageKey(space, page), bytes),
        bytes,
      );
  }

  /** Ids of the spaces that are named, made where they are new. */
  #spaceIds(places: readonly { readonly space: string }[]): Map<string, number> {
    using insert = this.#database.prepare("INSERT OR IGNORE INTO spaces (name) VALUES (?)");
    for (const space of new Set(places.map((place) => place.space))) insert.run(space);
    using select = this.#database.prepare<{ id: number; name: string }, []>("SELECT * FROM spaces");
    return new Map(select.all().map(({ id, name }) => [name, id]));
  }

  *#readers(): Generator<ReaderCheckpoint> {
    for (const row of this.#rows<ReaderRow>("SELECT * FROM readers ORDER BY name"))
      yield this.#readerOf(row);
  }

  readerNames(): string[] {
    return [...this.#rows<ReaderRow>("SELECT * FROM readers ORDER BY name")].map(
      ({ name }) => name,
    );
  }

  reader(name: string): ReaderCheckpoint | null {
    using statement = this.#database.prepare<ReaderRow, [string]>(
      "SELECT * FROM readers WHERE name = ?",
    );
    const row = statement.get(name);
    return row === null ? null : this.#readerOf(row);
  }

  #readerOf(row: ReaderRow): ReaderCheckpoint {
    const { name, position } = row;
    return { name, position, body: checked(this.#path, readerKey(name, position), row) };
  }

  *#outputs(): Generator<ViewOutput> {
    type Row = Stored & OutputKey & { readonly row_count: number };
    for (const row of this.#rows<Row>("SELECT * FROM outputs ORDER BY id")) {
      const { view, kind, op, position, row_count: rowCount } = row;
      const image = checked(this.#path, outputKey(row), row);
      yield { view, kind, ...(op === null ? {} : { op }), position, rowCount, image };
    }
  }

  *#pages(): Generator<StatePage> {
    type Row = Stored & { readonly place: number };
    const names = new Map<number, string>();
    for (const [name, id] of this.#spaceIds([])) names.set(id, name);
    // no join here: SQLite would sort all pages in a temporary file
    for (const row of this.#rows<Row>("SELECT * FROM pages ORDER BY place")) {
      const page = row.place % PAGES_PER_SPACE;
      const id = Math.floor(row.place / PAGES_PER_SPACE);
      const space = names.get(id);
      if (space === undefined)
        throw new CheckpointError(damaged(this.#path, `space ${id} has no name`));
      yield { space, page, bytes: checked(this.#path, pageKey(space, page), row) };
    }
  }

  *#segments(): Generator<IdSegment> {
    using statement = this.#database.prepare<{ stream: string }, []>(
      "SELECT DISTINCT stream FROM segments ORDER BY stream",
    );
    // as the index has them: by id SQLite would sort them all, or read other streams' too
    const sql = "SELECT * FROM segments WHERE stream = ? ORDER BY newest_received_at, id";
    for (const { stream } of statement.all())
      for (const row of this.#rows<SegmentRow>(sql, stream)) yield this.#segmentOf(row);
  }

  segmentAfter(stream: string, after: number): NumberedSegment | null {
    using statement = this.#database.prepare<SegmentRow, [string, number]>(
      "SELECT * FROM segments WHERE stream = ? AND id > ? ORDER BY id LIMIT 1",
    );
    const row = statement.get(stream, after);
    return row === null ? null : { number: row.id, segment: this.#segmentOf(row) };
  }

  segmentBytes(stream: string): number {
    using statement = this.#database.prepare<{ bytes: number | null }, [string]>(
      "SELECT sum(length(bytes)) AS bytes FROM segments WHERE stream = ?",
    );
    return statement.get(stream)?.bytes ?? 0;
  }

  #segmentOf(row: SegmentRow): IdSegment {
    const { stream, newest_received_at: newestReceivedAtUs } = row;
    const bytes = checked(this.#path, segmentKey(stream, newestReceivedAtUs), row);
    return { stream, newestReceivedAtUs, bytes };
  }

  *#rows<Row>(sql: string, ...values: string[]): Generator<Row> {
    try {
      using statement = this.#database.prepare<Row, string[]>(sql);
      yield* statement.iterate(...values);
    } catch (error) {
      throw openError(error, this.#path);
    }
  }
}

const readerKey = (name: string, position: number): string => `reader ${name} at ${position}`;
const pageKey = (space: string, page: number): string => `page ${page} of ${space}`;
const segmentKey = (stream: string, us: number): string => `segment of ${stream} until ${us}`;
type OutputKey = Pick<ViewOutput, "view" | "kind" | "position"> & {
  readonly op: "upsert" | "delete" | null;
};
const outputKey = ({ view, kind, op, position }: OutputKey): string =>
  `output ${kind} ${op ?? "append"} of ${view} at ${position}`;

function placeOf(space: number, page: number): number {
  assert(Number.isInteger(page) && page >= 0 && page < PAGES_PER_SPACE, `${page} is a page`);
  return space * PAGES_PER_SPACE + page;
}
