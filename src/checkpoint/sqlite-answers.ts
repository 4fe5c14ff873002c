// The part of state.db that holds the answers of requests with an Idempotency-Key (admit/kept-answers.ts): its tables, the only statements that touch
// them, and a reader for the engine beside the export thread, which writes.
import type { Database } from "bun:sqlite";
import type {
  AnswersChange,
  AnswersSum,
  AnswerStore,
  KeptAnswer,
  StoredAnswer,
} from "../admit/kept-answers.ts";
import { StateBeside } from "./sqlite-beside.ts";
import { checked, hashOf, type Stored } from "./sqlite-damage.ts";

/** A statement each. */
export const ANSWERS_DDL: readonly string[] = [
  `
CREATE TABLE answers (
  id INTEGER PRIMARY KEY,           -- so that rows are appended, and only the index below is written all over
  stream TEXT NOT NULL,
  key BLOB NOT NULL,                -- 16 bytes: the Idempotency-Key, hashed with the data folder's key
  received_at INTEGER NOT NULL,     -- microseconds, of the log record that says it; dropped when dedup_ttl has passed
  hash BLOB NOT NULL,
  bytes BLOB NOT NULL,              -- the answer as the log has it: JSON
  UNIQUE (stream, key)
) STRICT;
`,
  "CREATE INDEX answers_expired ON answers (stream, received_at);\n",
  `
CREATE TABLE answer_sums (
  stream TEXT PRIMARY KEY,
  row_count INTEGER NOT NULL,       -- of the rows in answers
  byte_count INTEGER NOT NULL       -- of their bytes
) STRICT;
`,
];

type Row = Stored & {
  readonly stream: string;
  readonly key: Uint8Array;
  readonly received_at: number;
};

interface Sum {
  rows: number;
  bytes: number;
}

/** Drops what is too old, then saves. Within the transaction of a checkpoint. */
export function changeAnswers(database: Database, change: AnswersChange): void {
  const { expiredAnswers, keptAnswers } = change;
  if (expiredAnswers.length + keptAnswers.length === 0) return;
  const sums = new Map(sumsOf(database).map(({ stream, ...sum }) => [stream, { ...sum }]));
  const sumFor = (stream: string): Sum => {
    const sum = sums.get(stream) ?? { rows: 0, bytes: 0 };
    sums.set(stream, sum);
    return sum;
  };
  {
    using found = database.prepare<Sum, [string, number]>(
      "SELECT count(*) AS rows, ifnull(sum(length(bytes)), 0) AS bytes FROM answers WHERE stream = ? AND received_at < ?",
    );
    using drop = database.prepare("DELETE FROM answers WHERE stream = ? AND received_at < ?");
    for (const { stream, beforeUs } of expiredAnswers) {
      const gone = found.get(stream, beforeUs);
      if (gone === null || gone.rows === 0) continue;
      drop.run(stream, beforeUs);
      add(sumFor(stream), { rows: -gone.rows, bytes: -gone.bytes });
    }
  }
  using before = database.prepare<{ bytes: number }, [string, Uint8Array]>(
    "SELECT length(bytes) AS bytes FROM answers WHERE stream = ? AND key = ?",
  );
  using save = database.prepare(
    `INSERT INTO answers (stream, key, received_at, hash, bytes) VALUES (?, ?, ?, ?, ?) ON CONFLICT (stream, key)
     DO UPDATE SET received_at = excluded.received_at, hash = excluded.hash, bytes = excluded.bytes`,
  );
  for (const { stream, receivedAtUs, ...answer } of keptAnswers) {
    const key = Buffer.from(answer.key, "hex");
    const bytes = new TextEncoder().encode(JSON.stringify(answer));
    const known = before.get(stream, key);
    save.run(
      stream,
      key,
      receivedAtUs,
      hashOf(keyOf(stream, answer.key, receivedAtUs), bytes),
      bytes,
    );
    const rows = known === null ? 1 : 0;
    add(sumFor(stream), { rows, bytes: bytes.length - (known?.bytes ?? 0) });
  }
  using told = database.prepare("INSERT OR REPLACE INTO answer_sums VALUES (?, ?, ?)");
  using ended = database.prepare("DELETE FROM answer_sums WHERE stream = ?");
  for (const [stream, { rows, bytes }] of sums)
    if (rows === 0) ended.run(stream);
    else told.run(stream, rows, bytes);
}

function add(sum: Sum, more: Readonly<Sum>): void {
  sum.rows += more.rows;
  sum.bytes += more.bytes;
}

function sumsOf(database: Database): AnswersSum[] {
  using statement = database.prepare<AnswersSum, []>(
    "SELECT stream, row_count AS rows, byte_count AS bytes FROM answer_sums ORDER BY stream",
  );
  return statement.all();
}

/** All answers, in the order in which they were first saved. `path`: of the database. Throws CheckpointError. */
export function* allAnswers(database: Database, path: string): Generator<StoredAnswer> {
  using statement = database.prepare<Row, []>("SELECT * FROM answers ORDER BY id");
  for (const row of statement.iterate()) yield answerOf(row, path);
}

function answerOf(row: Row, path: string): StoredAnswer {
  const { stream, received_at: receivedAtUs } = row;
  const key = Buffer.from(row.key).toString("hex");
  const bytes = checked(path, keyOf(stream, key, receivedAtUs), row);
  // the checksum vouches for the shape
  const answer = JSON.parse(new TextDecoder().decode(bytes)) as KeptAnswer;
  return { ...answer, stream, receivedAtUs };
}

/** Reads answers from the state at `path` while others write it; each as the last checkpoint has it. */
export class SqliteAnswers implements AnswerStore {
  readonly #state: StateBeside;

  constructor(path: string) {
    this.#state = new StateBeside(path);
  }

  find(stream: string, key: string): StoredAnswer | null {
    return this.#state.ask((database) => {
      // kept prepared by the connection
      const row = database
        .query<Row, [string, Uint8Array]>("SELECT * FROM answers WHERE stream = ? AND key = ?")
        .get(stream, Buffer.from(key, "hex"));
      return row === null ? null : answerOf(row, this.#state.path);
    });
  }

  sums(): readonly AnswersSum[] {
    return this.#state.ask(sumsOf);
  }

  close(): void {
    this.#state.close();
  }
}

const keyOf = (stream: string, key: string, receivedAtUs: number): string =>
  `answer to ${key} of ${stream} at ${receivedAtUs}`;
