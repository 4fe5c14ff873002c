// The part of state.db that holds groups of closed windows outside of memory (window/closed-part.ts): its table, the only statements that touch
// it, and a reader for the engine beside the export thread, which writes.
import type { Database } from "bun:sqlite";
import type { ClosedPart, ClosedParts, ClosedWindow, DroppedParts } from "../window/closed-part.ts";
import { StateBeside } from "./sqlite-beside.ts";
import { checked, hashOf, type Stored } from "./sqlite-damage.ts";

export const CLOSED_DDL = `
CREATE TABLE closed_parts (
  view TEXT NOT NULL,
  window_start INTEGER NOT NULL,    -- microseconds
  window_end INTEGER NOT NULL,
  bits INTEGER NOT NULL,            -- the window has 2^bits parts; those without groups have no row
  part INTEGER NOT NULL,
  hash BLOB NOT NULL,
  bytes BLOB NOT NULL,              -- the part's groups (assembly/fold/parts.ts)
  PRIMARY KEY (view, window_start, part)
) STRICT;
`;

/** The highest time, µs. */
const LAST_US = 2n ** 63n - 1n;

/** Saves parts, after those that nobody will ask for are gone. Within the transaction of a checkpoint. */
export function changeClosed(
  database: Database,
  change: { readonly parts: readonly ClosedPart[]; readonly dropped: readonly DroppedParts[] },
): void {
  {
    using statement = database.prepare(
      "DELETE FROM closed_parts WHERE view = ? AND window_start <= ? AND window_end <= ?",
    );
    for (const { view, endUs } of change.dropped)
      statement.run(view, endUs ?? LAST_US, endUs ?? LAST_US);
  }
  using statement = database.prepare(
    "INSERT OR REPLACE INTO closed_parts VALUES (?, ?, ?, ?, ?, ?, ?)",
  );
  for (const { view, startUs, endUs, bits, part, bytes } of change.parts)
    statement.run(
      view,
      startUs,
      endUs,
      bits,
      part,
      hashOf(keyOf(view, startUs, part), bytes),
      bytes,
    );
}

/** The windows with parts, by view and start. */
export function closedWindows(database: Database): ClosedWindow[] {
  type Row = {
    readonly view: string;
    readonly first: string;
    readonly end: string;
    readonly bits: number;
  };
  using statement = database.prepare<Row, []>(
    `SELECT view, CAST(window_start AS TEXT) AS first, CAST(window_end AS TEXT) AS "end", bits FROM closed_parts
     WHERE rowid IN (SELECT min(rowid) FROM closed_parts GROUP BY view, window_start) ORDER BY view, window_start`,
  );
  return statement.all().map(({ view, first, end, bits }) => ({
    view,
    startUs: BigInt(first),
    endUs: BigInt(end),
    bits,
  }));
}

/** Reads parts from the state at `path` while others write it; each as the last checkpoint has it. */
export class SqliteClosedParts implements ClosedParts {
  readonly #state: StateBeside;

  constructor(path: string) {
    this.#state = new StateBeside(path);
  }

  closedPart(view: string, startUs: bigint, part: number): Uint8Array | null {
    return this.#state.ask((database) => {
      // kept prepared by the connection: a part is read in some 20 µs
      const stored = database
        .query<Stored, [string, bigint, number]>(
          "SELECT hash, bytes FROM closed_parts WHERE view = ? AND window_start = ? AND part = ?",
        )
        .get(view, startUs, part);
      return stored === null ? null : checked(this.#state.path, keyOf(view, startUs, part), stored);
    });
  }

  close(): void {
    this.#state.close();
  }
}

const keyOf = (view: string, startUs: bigint, part: number): string =>
  `part ${part} of the window from ${startUs} of ${view}`;
