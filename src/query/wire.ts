// Nouns: what parent and query child say to each other, as JSON over HTTP on a unix socket. Result bytes go as they are.
import type { ResultFormat } from "./format.ts";
import type { Pin } from "./pin.ts";

/**
 * A question's parameter, for `?` or `$1`: JSON values as they are; a whole number beyond 2^53 by its digits, 128 bits at most, one with a
 * fraction or an exponent as a double.
 */
export type QuestionParam =
  | string
  | number
  | boolean
  | null
  | { readonly integer: string }
  | { readonly double: number };

/** How the child is started: the second argument of its command line, as JSON. */
export interface ChildOptions {
  readonly warehouseFolder: string;
  readonly tempFolder: string;
  /** Memory of all questions that run at a time, as DuckDB counts it: each may take its share. */
  readonly memoryBytesMax: number;
  /** DuckDB's threads for one question. */
  readonly threads: number;
}

export interface RunRequest {
  readonly sql: string;
  readonly params: readonly QuestionParam[];
  readonly format: ResultFormat;
  readonly pin: Pin;
  readonly timeoutMs: number;
  readonly rowsMax: number;
  readonly bytesMax: number;
}

/** The reply to /run: status 200 with the result, or 400 with a Problem as JSON. */
export const ROW_COUNT_HEADER = "x-millrace-rows";

/** What the child writes to its standard output when it listens. */
export const READY_LINE = "ready";
