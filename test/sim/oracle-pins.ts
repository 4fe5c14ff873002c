// Holds what a pin names against the naive answers at its position: files of tables, what the engine still holds, and the log's tail are together
// each event and each row of the views once.
import type { Pin, PinnedChange, PinnedStream, PinnedView } from "../../src/query/pin.ts";
import type { LogOracle } from "./oracle-log.ts";
import { keyOfRow, type DataRow } from "./oracle-tables.ts";

/** What the oracle uses of the product to read what a pin names. */
export interface PinTools {
  /** Rows of a data file of a table. */
  rows(table: string, path: string): readonly DataRow[];
  /** Rows of an image of a view. */
  imageRows(view: string, path: string): readonly DataRow[];
  /** Accepted events in the records from `from` to `to`, as the log's reader reads them now. */
  tailEvents(from: number, to: number): number;
}

export class PinOracle {
  readonly #tools: PinTools;
  readonly #log: LogOracle;
  readonly #violated: (what: string) => void;
  /** Pins that were looked at. */
  checked = 0;

  constructor(tools: PinTools, log: LogOracle, violated: (what: string) => void) {
    this.#tools = tools;
    this.#log = log;
    this.#violated = violated;
  }

  check(pin: Pin): void {
    this.checked++;
    for (const stream of pin.streams) this.#checkStream(stream, pin.position);
    for (const view of pin.views) this.#checkView(view, pin.position);
  }

  #checkStream({ stream, raw, coveredPosition }: PinnedStream, position: number): void {
    const filed = raw.files
      .flatMap((path) => this.#tools.rows(`default.${stream}_raw`, path))
      .filter((row) => Number(row.get("_position")) <= position).length;
    const tail =
      coveredPosition < position ? this.#tools.tailEvents(coveredPosition + 1, position) : 0;
    const expected = this.#log.eventsUpTo(position);
    if (filed + tail !== expected)
      this.#violated(
        `a question at ${position} sees ${filed} + ${tail} events of ${stream} (files up to ${coveredPosition}), not ${expected}`,
      );
  }

  #checkView({ view, rows, images, changes }: PinnedView, position: number): void {
    const fold = this.#log.foldsAt(position).find((one) => one.view.name === view);
    if (fold === undefined) return;
    const seen = new Map<string, DataRow>();
    const add = (row: DataRow): void => {
      const key = keyOfRow(row);
      if (seen.has(key))
        this.#violated(`a question at ${position} sees row ${key} of ${view} twice`);
      seen.set(key, row);
    };
    for (const path of rows.files) this.#tools.rows(`default.${view}`, path).forEach(add);
    for (const change of changes) this.#change(view, seen, change);
    for (const path of images) this.#tools.imageRows(view, path).forEach(add);
    const expected = fold.allRows();
    for (const [key, row] of seen) {
      const known = expected.get(key);
      if (known?.count !== Number(row.get("hits")) || known.sum !== row.get("total"))
        this.#violated(
          `a question at ${position} sees row ${key} of ${view} with ${String(row.get("hits"))} of ${String(row.get("total"))}, not ${known?.count} of ${known?.sum}`,
        );
    }
    for (const key of expected.keys())
      if (!seen.has(key))
        this.#violated(`a question at ${position} does not see row ${key} of ${view}`);
  }

  /** The last word on a key counts. */
  #change(view: string, seen: Map<string, DataRow>, { path, op }: PinnedChange): void {
    for (const row of this.#tools.imageRows(view, path))
      if (op === "delete") seen.delete(keyOfRow(row));
      else seen.set(keyOfRow(row), row);
  }
}
