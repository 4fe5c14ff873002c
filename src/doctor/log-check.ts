// Verb: the log -> whether every record is there and is what was written. Reads a record at a time.
import { counted } from "../base/counted.ts";
import { dirname, join } from "node:path";
import { CorruptRecordError, decodeRecord } from "../log/codec.ts";
import { logFolderOf } from "../log/data-folder.ts";
import {
  LogFileReader,
  logFileError,
  logFileFirst,
  logFileName,
  logNames,
} from "../log/log-file.ts";
import { checkWalEnd } from "../log/wal-check.ts";
import { LOG_HEADS_PER_LOOK } from "../limits.ts";
import type { Place } from "./place.ts";
import { Findings, reasonOf, type Check } from "./report.ts";

/** As LogReader.bounds: `first > last` when the log is empty. */
export interface LogBounds {
  readonly first: number;
  readonly last: number;
}

const RESTORE = "Restore the whole data folder from one backup";
/** Bytes of log between two words on how far it is. */
const PROGRESS_BYTES = 256 * 1024 * 1024;

/** Checks the log. `bounds` are of what is there, damaged or not. */
export function checkLog(place: Place): { readonly check: Check; readonly bounds: LogBounds } {
  const { files, folder: data } = place;
  const findings = new Findings("log");
  const folder = logFolderOf(data);
  const { firsts, leftovers, foreign } = logNames(files.list(folder));
  for (const name of foreign)
    findings.repairable(
      `${join(folder, name)} is not a log file: a start is refused. Move it elsewhere`,
      [{ kind: "move", path: join(folder, name), why: `not a file of ${dirname(folder)}` }],
    );
  const scan = new LogScan(findings, firsts[0] ?? 1);
  let bytes = 0;
  let toldBytes = 0;
  for (const [index, first] of firsts.entries()) {
    const path = join(folder, logFileName(first));
    bytes += files.sizeBytes(path) + files.sizeBytes(`${path}-wal`);
    scan.file(path, first, place.jobId);
    if (bytes - toldBytes < PROGRESS_BYTES) continue;
    toldBytes = bytes;
    place.progress(`log: ${index + 1} of ${counted(firsts.length, "file")}`);
  }
  checkLeftovers(leftovers, { folder, first: scan.first }, findings);
  const { first, last } = scan;
  const range = last < first ? "no records" : `records ${first} to ${last}`;
  const said = `${range} in ${counted(firsts.length, "file")}, ${counted(bytes, "byte")}`;
  return { check: findings.check(said), bounds: { first, last } };
}

/** Trimming removes the oldest file first, its -wal last; a later -wal without its database has records that are nowhere else. */
function checkLeftovers(
  leftovers: readonly string[],
  log: { readonly folder: string; readonly first: number },
  findings: Findings,
): void {
  const isWorthless = (name: string): boolean =>
    !name.endsWith("-wal") || (logFileFirst(name.slice(0, -"-wal".length)) ?? 0) < log.first;
  for (const name of leftovers.filter((leftover) => !isWorthless(leftover)))
    findings.damaged(
      `${join(log.folder, name)} has no database: a start would remove it, and its records with it. Do not start Millrace; put the .db file back ` +
        "from a backup (it never changes), or restore the whole data folder",
    );
  if (leftovers.length === 0) return;
  findings.note(
    `${counted(leftovers.length, "file")} that the next start removes or makes anew: ${leftovers.slice(0, 3).join(", ")}`,
    leftovers.map((name) => ({
      kind: "remove" as const,
      path: join(log.folder, name),
      why: "a start removes it or makes it anew",
    })),
  );
}

/** Goes through the files in order. */
class LogScan {
  readonly #findings: Findings;
  readonly first: number;
  #next: number;
  /** The end of the file before could not be read: where the next begins tells nothing. */
  #isUnsure = false;
  #receivedAtUs = 0;

  constructor(findings: Findings, first: number) {
    this.#findings = findings;
    this.first = first;
    this.#next = first;
  }

  get last(): number {
    return this.#next - 1;
  }

  file(path: string, first: number, jobId: string): void {
    this.#findings.try(() => checkWalEnd(`${path}-wal`));
    this.#expect(first, `before ${path}`);
    this.#next = Math.max(this.#next, first);
    try {
      const file = new LogFileReader(path, first, jobId);
      try {
        this.#records(file, path);
      } finally {
        file.close();
      }
    } catch (error) {
      this.#findings.damaged(reasonOf(logFileError(error, path)));
      this.#isUnsure = true;
    }
  }

  #records(file: LogFileReader, path: string): void {
    for (;;) {
      const heads = file.heads(this.#next, LOG_HEADS_PER_LOOK);
      if (heads.length === 0) return;
      for (const { position } of heads) {
        this.#expect(position, `in ${path}`);
        this.#next = position + 1;
        for (const row of file.rows(position, position)) this.#record(row, path);
      }
    }
  }

  #record(row: Parameters<typeof decodeRecord>[0], path: string): void {
    try {
      const { receivedAtUs, position } = decodeRecord(row);
      if (receivedAtUs < this.#receivedAtUs)
        this.#findings.damaged(
          `${path}: record ${position} was received before the one before it, which is never written. ${RESTORE}`,
        );
      this.#receivedAtUs = Math.max(this.#receivedAtUs, receivedAtUs);
    } catch (error) {
      if (!(error instanceof CorruptRecordError)) throw error;
      this.#findings.damaged(`${path}: ${error.message}`);
    }
  }

  #expect(position: number, where: string): void {
    if (position > this.#next && !this.#isUnsure)
      this.#findings.damaged(
        `log records ${this.#next} to ${position - 1} are missing ${where}: a file, or its -wal, was removed or replaced. ${RESTORE}`,
      );
    this.#isUnsure = false;
  }
}
