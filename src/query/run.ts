// Verb: one question in one sandbox -> bytes or a problem. Owns the time, row and byte bounds and the read-only transaction; what the
// relations are was decided before.
import type { DuckConnection, DuckParameter, DuckStream } from "../base/duckdb.ts";
import { encoderFor, type ResultFormat } from "./format.ts";
import { problemOfDuckError, type Problem } from "./problem.ts";
import type { QuestionParam } from "./wire.ts";

/** What to run, and how far. */
export interface RunOrder {
  readonly sql: string;
  readonly params: readonly QuestionParam[];
  readonly format: ResultFormat;
  readonly position: number;
  readonly timeoutMs: number;
  readonly rowsMax: number;
  readonly bytesMax: number;
}

export type RunAnswer =
  | {
      readonly kind: "answer";
      readonly contentType: string;
      readonly rowCount: number;
      readonly body: Blob;
    }
  | { readonly kind: "problem"; readonly problem: Problem };

/** Why a run was cut short by us. */
type Cut = "timeout" | "hung_up" | "too_large";

function cutProblem(cut: Cut, order: RunOrder): Problem {
  switch (cut) {
    case "timeout":
      return {
        status: 408,
        code: "query_timeout",
        title: "Question took too long",
        detail: `stopped after ${order.timeoutMs} ms: filter by time or key, or aggregate less at once`,
      };
    case "hung_up":
      return { status: 499, code: "hung_up", title: "Client went away", detail: "stopped" };
    default:
      return {
        status: 400,
        code: "answer_too_large",
        title: "Answer too large",
        detail: `the answer has more than ${order.rowsMax} rows or ${order.bytesMax} bytes: aggregate, or page with LIMIT and a condition`,
      };
  }
}

function duckParameter(param: QuestionParam): DuckParameter {
  return typeof param === "object" && param !== null && "integer" in param
    ? BigInt(param.integer)
    : param;
}

class Run {
  readonly #connection: DuckConnection;
  readonly #order: RunOrder;
  readonly #params: readonly DuckParameter[];
  #cut: Cut | null = null;

  constructor(connection: DuckConnection, order: RunOrder) {
    this.#connection = connection;
    this.#order = order;
    this.#params = order.params.map(duckParameter);
  }

  cut(cut: Cut): void {
    this.#cut ??= cut;
    this.#connection.interrupt();
  }

  async answer(): Promise<RunAnswer> {
    const { sql } = this.#order;
    await this.#connection.execute(["BEGIN TRANSACTION READ ONLY"]);
    try {
      // An interrupt ends a statement that runs, not one that is to come.
      if (this.#cut !== null)
        return { kind: "problem", problem: cutProblem(this.#cut, this.#order) };
      return await this.#encode(await this.#connection.stream(sql, this.#params));
    } catch (error) {
      const problem =
        this.#cut === null ? problemOfDuckError(error, sql) : cutProblem(this.#cut, this.#order);
      return { kind: "problem", problem };
    } finally {
      await this.#connection.execute(["ROLLBACK"]);
    }
  }

  async #encode(stream: DuckStream): Promise<RunAnswer> {
    const { format, position, rowsMax, bytesMax } = this.#order;
    const encoder = encoderFor(format);
    const pieces: Buffer[] = [Buffer.from(encoder.head(stream.columns))];
    let rowCount = 0;
    let byteCount = pieces[0]?.byteLength ?? 0;
    for (let rows = await stream.next(); rows !== null; rows = await stream.next()) {
      const piece = Buffer.from(encoder.rows(rows));
      rowCount += rows.length;
      byteCount += piece.byteLength;
      if (rowCount > rowsMax || byteCount > bytesMax) {
        this.cut("too_large");
        break;
      }
      pieces.push(piece);
    }
    if (this.#cut !== null) return { kind: "problem", problem: cutProblem(this.#cut, this.#order) };
    const failure = await this.#streamFailure();
    if (failure !== null) return { kind: "problem", problem: failure };
    pieces.push(Buffer.from(encoder.tail(position)));
    return { kind: "answer", contentType: encoder.contentType, rowCount, body: new Blob(pieces) };
  }

  /** Whether the stream ended by an error: its transaction is then broken. The message is got by running it again into hashes: a count need not read values. */
  async #streamFailure(): Promise<Problem | null> {
    try {
      await this.#connection.execute(["SELECT 1"]);
      return null;
    } catch {
      await this.#connection.execute(["ROLLBACK", "BEGIN TRANSACTION READ ONLY"]);
    }
    const { sql } = this.#order;
    try {
      await this.#connection.run(`SELECT bit_xor(hash(COLUMNS(*))) FROM (${sql}\n)`, this.#params);
    } catch (error) {
      return this.#cut === null
        ? problemOfDuckError(error, "")
        : cutProblem(this.#cut, this.#order);
    }
    const detail = "the question failed after its first rows";
    return { status: 400, code: "bad_sql", title: "Question failed", detail };
  }
}

/** Runs a question whose relations are set up. Never rejects for what the question does; the connection is usable after it. */
export async function runQuestion(
  connection: DuckConnection,
  order: RunOrder,
  signal: AbortSignal,
): Promise<RunAnswer> {
  const run = new Run(connection, order);
  const hangUp = (): void => run.cut("hung_up");
  const timer = setTimeout(() => run.cut("timeout"), order.timeoutMs);
  signal.addEventListener("abort", hangUp);
  // An event that came before the listener does not come again.
  if (signal.aborted) hangUp();
  try {
    return await run.answer();
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", hangUp);
  }
}
