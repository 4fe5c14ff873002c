// The control of the proof: the disk drops what was not synced, and nothing else. Without it a test that finds everything after a cut would say nothing.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { seeded } from "../../bench/load-body.ts";
import { temporaryFolder } from "../e2e/appliance.ts";
import { CUTS, PowerDisk, whyNoPowerDisk } from "./disk.ts";

const reason = whyNoPowerDisk();
const PAGES = 64;
const PAGE_BYTES = 4096;
const SIZE = PAGES * PAGE_BYTES;

/** Writes one byte all over a file ("w": a new one; "r+": what is there, where no block moves), and syncs it when that is said. */
function write(path: string, byte: number, how: { flags: "w" | "r+"; sync: boolean }): void {
  const file = openSync(path, how.flags);
  try {
    writeSync(file, new Uint8Array(SIZE).fill(byte));
    if (how.sync) fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
const SYNCED = { flags: "w", sync: true } as const;
const UNSYNCED = { flags: "w", sync: false } as const;
const OVER_SYNCED = { flags: "r+", sync: true } as const;
const OVER_UNSYNCED = { flags: "r+", sync: false } as const;

function syncFolder(path: string): void {
  const folder = openSync(path, "r");
  fsyncSync(folder);
  closeSync(folder);
}

/** The first byte of each page, each once. */
function bytesOf(path: string): number[] {
  const bytes = readFileSync(path);
  const first = Array.from({ length: PAGES }, (_, page) => bytes[page * PAGE_BYTES] ?? -1);
  return [...new Set(first)].toSorted((a, b) => a - b);
}

// Absent, not skipped, where no disk may be mounted: the simulator cuts power on every machine.
if (reason === null)
  describe("a disk whose power is cut", () => {
    const folder = temporaryFolder();
    let disk: PowerDisk;
    let count = 0;
    beforeAll(() => {
      disk = PowerDisk.make(folder.path);
    });
    /** A folder of its own for each test, whose name is on the platter. */
    let at = "";
    beforeEach(() => {
      at = join(disk.path, String(count++));
      mkdirSync(at);
      syncFolder(disk.path);
    });
    afterAll(() => {
      disk.dispose();
      folder.dispose();
    });

    const cut = (how: (typeof CUTS)[number]): void => {
      disk.cut(how, seeded(count));
      expect(() => write(join(at, "after"), 9, SYNCED)).toThrow();
      disk.restore();
    };

    test.each(CUTS)("what was synced stays, what was not is gone (%s)", (how) => {
      const [synced, unsynced] = [join(at, "synced"), join(at, "unsynced")];
      write(synced, 1, SYNCED);
      syncFolder(at);
      write(unsynced, 2, UNSYNCED);
      cut(how);
      expect(bytesOf(synced)).toEqual([1]);
      expect(readdirSync(at)).not.toContain("unsynced");
    });

    test.each(CUTS)(
      "a file without a sync is empty where another one's sync kept its name (%s)",
      (how) => {
        const [synced, unsynced] = [join(at, "synced"), join(at, "unsynced")];
        write(unsynced, 2, UNSYNCED);
        write(synced, 1, SYNCED);
        cut(how);
        expect(readFileSync(unsynced)).toHaveLength(0);
        expect(bytesOf(synced)).toEqual([1]);
      },
    );

    test.each(CUTS)("what was written over is as it was, until it is synced (%s)", (how) => {
      const [synced, unsynced] = [join(at, "synced"), join(at, "unsynced")];
      for (const path of [synced, unsynced]) write(path, 1, SYNCED);
      write(unsynced, 2, OVER_UNSYNCED);
      write(synced, 2, OVER_SYNCED);
      cut(how);
      expect([bytesOf(synced), bytesOf(unsynced)]).toEqual([[2], [1]]);
    });

    test.each(CUTS)("a new name is forgotten without a sync (%s)", (how) => {
      const [old, young] = [join(at, "old"), join(at, "young")];
      write(old, 1, SYNCED);
      write(young, 2, SYNCED);
      syncFolder(at);
      renameSync(young, old);
      cut(how);
      expect(bytesOf(old)).toEqual([1]);
    });

    test("what the drive has taken and was not told to flush is lost, there in part, or there", () => {
      const file = join(at, "file");
      const kept = CUTS.map((how) => {
        write(file, 1, SYNCED);
        write(file, 2, OVER_UNSYNCED);
        disk.giveToDrive(file);
        cut(how);
        return [how, bytesOf(file)];
      });
      expect(kept).toEqual([
        ["lost", [1]],
        ["some", [1, 2]],
        ["kept", [2]],
      ]);
    });
  });
else console.log(`no tests of a disk whose power is cut: ${reason}`);
