// A data folder with a log, and its shipping, in this process: no events are decoded and no tables written, so that a test says what the log holds.
import { join } from "node:path";
import type { Clock } from "../../src/base/clock.ts";
import { DiskFiles } from "../../src/base/disk-files.ts";
import type { Files } from "../../src/base/files.ts";
import { openCheckpointStore } from "../../src/checkpoint/sqlite-store.ts";
import { encodeRecord } from "../../src/log/codec.ts";
import {
  ledgerPathOf,
  lockDataFolder,
  logFolderOf,
  openDataFolder,
  statePathOf,
} from "../../src/log/data-folder.ts";
import { openSqliteLogWriter, type SqliteLogWriter } from "../../src/log/sqlite-log.ts";
import { logMoment, recordPieces } from "../../src/savepoint/copy-log.ts";
import { restoreShipment, type ShipRestoreReport } from "../../src/ship/restore.ts";
import { ShipRun, type ShipStatus } from "../../src/ship/run.ts";
import type { ObjectStore } from "../../src/ship/store.ts";
import { Ledger } from "../../src/table/ledger.ts";
import { recordAt } from "../log/records.ts";

const LOG_FILE_BYTES = 64 * 1024;
/** Records of one transaction. */
const APPENDED = 100;

/** Job of the data folder, which is made where there is none. */
export function jobOf(data: string): string {
  const files = new DiskFiles();
  // a start empties tmp/, where a shipment may be under way
  const isThere = files.exists(join(data, "lock.db"));
  const folder = (isThere ? lockDataFolder(data, files) : null) ?? openDataFolder(data, files);
  folder.close();
  return folder.jobId;
}

/** The last position of its log. */
export function lastOf(data: string): number {
  return logMoment(logFolderOf(data), new DiskFiles()).last;
}

/** The records of its log, header and payload. */
export function recordsOf(data: string): string[] {
  const moment = logMoment(logFolderOf(data), new DiskFiles());
  const records = [...recordPieces(moment, jobOf(data))].flat();
  return records.map(({ header, payload }) =>
    Bun.hash(Buffer.concat([header, payload])).toString(),
  );
}

function openLog(data: string): SqliteLogWriter {
  return openSqliteLogWriter(logFolderOf(data), new DiskFiles(), {
    jobId: jobOf(data),
    fileSizeBytes: LOG_FILE_BYTES,
    sizeMaxBytes: Number.MAX_SAFE_INTEGER,
  });
}

/** Appends records up to `last` to the log of a data folder, which is made where there is none. `mark` tells records of two copies apart. */
export function writeLog(data: string, last: number, mark = 0): void {
  const [files, jobId] = [new DiskFiles(), jobOf(data)];
  if (!files.exists(ledgerPathOf(data))) {
    openCheckpointStore(statePathOf(data), files, jobId).close();
    Ledger.open(ledgerPathOf(data), jobId, files).close();
  }
  const log = openLog(data);
  while (log.lastPosition < last) {
    const first = log.lastPosition + 1;
    const records = Array.from({ length: Math.min(APPENDED, last + 1 - first) }, (_, at) =>
      recordAt(first + at),
    );
    log.append(
      records.map((record) =>
        encodeRecord({ ...record, receivedAtUs: record.receivedAtUs + mark }),
      ),
    );
  }
  log.close();
}

/** Appends a record whose payload a disk has changed. */
export function writeDamaged(data: string): void {
  const log = openLog(data);
  const record = encodeRecord(recordAt(log.lastPosition + 1));
  log.append([{ ...record, payload: record.payload.map((byte) => byte ^ 1) }]);
  log.close();
}

/** Removes the log's files that hold nothing at or behind `position`. */
export function trimLog(data: string, position: number): void {
  const log = openLog(data);
  log.trim(position);
  log.close();
}

/** A shipping that runs. */
export interface Running {
  readonly status: () => ShipStatus;
  /** Resolves when a status is as wanted; the test's own time limit is the only one. */
  readonly until: (isSo: (status: ShipStatus) => boolean) => Promise<void>;
  readonly notices: readonly string[];
  /** Ships what the log holds, and ends. */
  readonly stop: () => Promise<void>;
}

export interface RunOptions {
  readonly files?: Files;
  readonly clock?: Clock;
  readonly intervalUs?: number;
  readonly keepMax?: number;
  /** Requests of shipments go there; by default where the log's go. */
  readonly shipments?: ObjectStore;
}

const REAL: Clock = {
  nowUs: () => Date.now() * 1000,
  monotonicUs: () => Math.floor(performance.now() * 1000),
};

/** Begins to ship a data folder. */
export function runShip(data: string, store: ObjectStore, options: RunOptions = {}): Running {
  const { files = new DiskFiles(), clock = REAL, shipments = store } = options;
  const { intervalUs = 20_000, keepMax = 2 } = options;
  const folder = openDataFolder(data, files);
  folder.close();
  const [noMore, finish] = [new AbortController(), new AbortController()];
  const notices: string[] = [];
  let status: ShipStatus | null = null;
  let changed = Promise.withResolvers<void>();
  const { path: dataFolder, jobId, hashKey } = folder;
  const of = { dataFolder, jobId, hashKey, millrace: "test", configurationText: "{}" };
  const savepoint = { ...of, logFileSizeBytes: LOG_FILE_BYTES };
  const over = new ShipRun(
    { savepoint, intervalUs, logIntervalUs: 10_000, keepMax },
    {
      files,
      clock,
      stores: { log: store, shipments },
      freeze: () => Promise.resolve(),
      thaw: () => {},
      letGo: () => {},
      rest: () => Bun.sleep(0),
      noMore: noMore.signal,
      finish: finish.signal,
      tell: (now) => {
        status = now;
        changed.resolve();
        changed = Promise.withResolvers();
      },
      notice: (text) => void notices.push(text),
    },
  ).run();
  let isOver = false;
  void over.finally(() => (isOver = true)).catch(() => {});
  return {
    notices,
    status: () => {
      if (status === null) throw new Error("nothing was told yet");
      return status;
    },
    until: async (isSo) => {
      for (;;) {
        if (status !== null && isSo(status)) return;
        if (isOver) throw new Error(`it is over: ${notices.join("; ")}`);
        await Promise.race([changed.promise, over]);
      }
    },
    stop: async () => {
      noMore.abort();
      finish.abort();
      await over;
    },
  };
}

/** Restores the newest shipment to `data`. */
export function restoreTo(
  data: string,
  store: ObjectStore,
  files: Files = new DiskFiles(),
): Promise<ShipRestoreReport> {
  return restoreShipment({ store, number: null, dataFolder: data, files, tell: () => {} });
}
