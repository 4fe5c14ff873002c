// Noun: why a question got no answer, as the client is told it (RFC 9457 problem details). Bad SQL is a value, not an exception.

/** A problem object. `line` and `column` count from 1, in characters of the question's text. */
export interface Problem {
  readonly status: number;
  /** Stable, for programs: `bad_sql`, `query_timeout`, ... */
  readonly code: string;
  readonly title: string;
  /** What was wrong and what to do next. */
  readonly detail: string;
  readonly line?: number;
  readonly column?: number;
  /** For 503: after how many seconds it is worth asking again. */
  readonly retryAfterS?: number;
}

/** Line and column, from 1, of the character at `index` (from 0) of a text. */
export function placeOf(text: string, index: number): { line: number; column: number } {
  const before = [...text].slice(0, index).join("").split("\n");
  return { line: before.length, column: [...(before.at(-1) ?? "")].length + 1 };
}

interface DuckErrorBody {
  readonly exception_type?: string;
  readonly exception_message?: string;
  readonly position?: string;
}

/** DuckDB's error as JSON (`errors_as_json`): its kind, message and place. Plain text errors have an empty kind. */
function duckError(message: string): DuckErrorBody {
  const at = message.indexOf("{");
  if (at < 0) return { exception_message: message };
  try {
    return JSON.parse(message.slice(at)) as DuckErrorBody;
  } catch {
    return { exception_message: message };
  }
}

/** The message in DuckDB's error. */
export function duckMessage(error: unknown): string {
  const body = duckError(error instanceof Error ? error.message : String(error));
  return (body.exception_message ?? "the query failed").trim();
}

/** Index of the character in which the `byte`-th UTF-8 byte lies. */
function characterOfByte(text: string, byte: number): number {
  return [...Buffer.from(text, "utf8").subarray(0, byte).toString("utf8")].length;
}

const OUT_OF_MEMORY =
  "the question needs more memory than it may use: aggregate or filter earlier, ask for fewer columns, or a shorter time range";

/** Code of `unreadable`. */
export const UNAVAILABLE = "relation_unavailable";

/** Our own files could not be read: not the question's fault. What the log trimmed under a pin is in a table, or gone, for the next. */
export function unreadable(detail: string): Problem {
  return {
    status: 503,
    code: UNAVAILABLE,
    title: "Data not readable",
    detail,
    retryAfterS: 1,
  };
}

/** Code of `damagedFile`. */
export const DAMAGED_FILE = "damaged_file";

/** A data file of ours is not as it was written: not the question's fault, and no other question's that reads it. */
export function damagedFile(relation: string, path: string, reason: string): Problem {
  return {
    status: 500,
    code: DAMAGED_FILE,
    title: "Data file damaged",
    detail:
      `${path}, a data file of ${relation}, cannot be read (${reason}). The question is not at fault. Put the file back from a backup ` +
      "(data files never change), or stop Millrace and restore the whole data folder from one; questions that do not read it are answered",
  };
}

/** What DuckDB says of a data file whose bytes are not as they were written, where it is not an "IO" error. */
const DAMAGED =
  /^Failed to read file|^Parquet file is likely corrupted|too small to be a Parquet file$|^No magic bytes found/;

/** Whether an error of DuckDB may come from a data file. "Invalid" are the Parquet reader's errors that it has no other name for. */
function isOfFiles(kind: string, message: string): boolean {
  return kind === "IO" || kind === "Invalid" || DAMAGED.test(message);
}

/** What a scan of the log's tail says when it was trimmed under it (LogTrimmedError, TailError). */
const TRIMMED = /log record \d+ is no longer held|the log holds positions \d+ to/;

/** The problem that an error of DuckDB is, for a question's text. Parser positions count characters, all others UTF-8 bytes. */
export function problemOfDuckError(error: unknown, sql: string): Problem {
  const body = duckError(error instanceof Error ? error.message : String(error));
  const kind = body.exception_type ?? "";
  const message = duckMessage(error);
  if (kind === "Out of Memory")
    return {
      status: 400,
      code: "out_of_memory",
      title: "Question too large",
      detail: OUT_OF_MEMORY,
    };
  // A question has no files of its own.
  if (isOfFiles(kind, message) || TRIMMED.test(message)) return unreadable(message);
  const title = kind === "" ? "Question failed" : `${kind} error`;
  const detail = kind === "Permission" ? "questions may only read streams and views" : message;
  const problem = { status: 400, code: "bad_sql", title, detail };
  const position = Number(body.position ?? NaN);
  // "No position" is 2^64 - 1.
  if (!(position >= 0 && position <= Buffer.byteLength(sql))) return problem;
  const character = kind === "Parser" ? position : characterOfByte(sql, position);
  return { ...problem, ...placeOf(sql, character) };
}
