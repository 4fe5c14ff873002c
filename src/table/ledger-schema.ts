// The tables of ledger.db, and how one of an earlier format becomes one of this. Their statements are in ledger.ts.
import type { Database } from "bun:sqlite";

/** Format of ledger.db, in PRAGMA user_version: counted up with every change. */
export const LEDGER_FORMAT = 4;

/** Format 2 has no length of files, format 3 no checksum. */
const EARLIER_FORMATS: readonly number[] = [2, 3];

/** Whether a ledger of this format can be taken over. */
export function isEarlierFormat(format: number): boolean {
  return EARLIER_FORMATS.includes(format);
}

/** Makes one of an earlier format one of this, but for the checksum, which is of no rows. */
export function upgradeLedger(database: Database, from: number): void {
  if (from === 2) database.run("ALTER TABLE files ADD COLUMN bytes INTEGER");
  database.run("ALTER TABLE job ADD COLUMN checksum TEXT NOT NULL DEFAULT '0000000000000000'");
}

/** Makes one of an earlier format look like it to a connection that only reads. */
export function readEarlierFormat(database: Database, from: number): void {
  if (from === 2) database.run("CREATE TEMP VIEW files AS SELECT *, NULL AS bytes FROM main.files");
}

/** "MRLE" in PRAGMA application_id, so that no other program's file is taken for a ledger. */
export const LEDGER_APPLICATION_ID = 0x4d524c45;

export const LEDGER_DDL = `
CREATE TABLE job (
  id TEXT NOT NULL,                -- the job that writes these tables; one row
  checksum TEXT NOT NULL DEFAULT '0000000000000000'  -- of all rows of the tables below: ledger-rows.ts
) STRICT;
CREATE TABLE tables (
  name TEXT PRIMARY KEY,           -- namespace.table
  epoch_next INTEGER NOT NULL      -- number of the next epoch, from 1; never goes back, so file names are never used twice
) STRICT;
CREATE TABLE writers (
  table_name TEXT NOT NULL,
  writer TEXT NOT NULL,            -- who writes in log order: the stream, the view; several may write one table
  position INTEGER NOT NULL,       -- log position that the recorded epochs cover: rows at or below it are out
  epoch INTEGER NOT NULL,          -- the last epoch with rows of this writer; 0 = none
  PRIMARY KEY (table_name, writer)
) STRICT;
CREATE TABLE epochs (
  table_name TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  writer TEXT NOT NULL,
  position_from INTEGER NOT NULL,  -- the epoch covers log positions (position_from, position]
  position INTEGER NOT NULL,
  row_count INTEGER NOT NULL,
  watermark TEXT NOT NULL,         -- us since the epoch as decimal text, '' before the first event
  snapshot_id INTEGER,             -- NULL = not yet in the Iceberg table; 0 = in, found so at a start
  PRIMARY KEY (table_name, epoch)
) STRICT;
CREATE TABLE files (
  table_name TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  path TEXT NOT NULL,              -- relative to the table's folder
  descriptor TEXT,                 -- FileDescriptor as JSON; NULL once committed
  time_low TEXT,                   -- lowest and highest time of the column that parts the table, us as decimal text; NULL = none does
  time_high TEXT,
  removed_epoch INTEGER,           -- the epoch whose files took this one's place; NULL = it is read
  bytes INTEGER,                   -- the file's length; NULL = recorded by format 2
  PRIMARY KEY (table_name, epoch, path)
) STRICT;
CREATE INDEX epochs_pending ON epochs (table_name, epoch) WHERE snapshot_id IS NULL;
`;
