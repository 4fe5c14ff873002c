// The fault model of the simulated disk: what it may lose and what it may not. A fault that the model lacks is a bug that the simulator cannot find, one
// that no disk has is a false alarm.
import { expect, test } from "bun:test";
import { MachineEnded, SimDisk, type Faults, type Operation, type Outcome } from "./disk.ts";
import { Random } from "./random.ts";

const TEXT = (text: string): Uint8Array => new TextEncoder().encode(text);
const READ = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const SEEDS = 200;

/** A disk on which the operations named fail once, each as said. */
function diskOf(seed: number, failing: Partial<Record<Operation, Outcome>> = {}): SimDisk {
  const left = new Map(Object.entries(failing));
  const faults: Faults = {
    at: (operation) => {
      const outcome = left.get(operation) ?? "done";
      left.delete(operation);
      return outcome;
    },
    costUs: () => 1,
    naming: () => undefined,
    isFull: () => false,
  };
  return new SimDisk({ random: new Random(seed, "disk"), faults, spend: () => undefined });
}

/** What a file holds after the machine ended, over many seeds; null: it is not there. */
function outcomesOf(
  write: (disk: SimDisk) => void,
  after: { readonly powerCut: boolean; readonly path?: string },
  failing: Partial<Record<Operation, Outcome>> = {},
): Set<string | null> {
  const found = new Set<string | null>();
  for (let seed = 1; seed <= SEEDS; seed++) {
    const disk = diskOf(seed, failing);
    disk.makeFolder("/d");
    try {
      write(disk);
    } catch (error) {
      if (!(error instanceof MachineEnded) && !(error instanceof Error && "code" in error))
        throw error;
    }
    disk.halt();
    disk.restart(after.powerCut);
    const inode = disk.find(after.path ?? "/d/f");
    found.add(inode === null ? null : READ(inode.bytes));
  }
  return found;
}

function put(disk: SimDisk, path: string, text: string): void {
  const inode = disk.create(path);
  disk.write(path, inode, { offset: 0, bytes: TEXT(text) });
}

function putSynced(disk: SimDisk, path: string, text: string): void {
  put(disk, path, text);
  disk.fsyncFile(path, disk.mustFind(path));
  disk.fsyncFolder("/d");
}

test("what was synced, file and folder, survives a power cut", () => {
  expect(outcomesOf((disk) => putSynced(disk, "/d/f", "all"), { powerCut: true })).toEqual(
    new Set(["all"]),
  );
});

test("without a sync of the file its name may be there with some of its bytes, or none", () => {
  const write = (disk: SimDisk): void => {
    put(disk, "/d/f", "all");
    disk.fsyncFolder("/d");
  };
  expect(outcomesOf(write, { powerCut: true })).toEqual(new Set(["all", ""]));
});

test("without a sync of the folder the name may be lost, the bytes are whole", () => {
  const write = (disk: SimDisk): void => {
    put(disk, "/d/f", "all");
    disk.fsyncFile("/d/f", disk.mustFind("/d/f"));
  };
  expect(outcomesOf(write, { powerCut: true })).toEqual(new Set(["all", null]));
});

test("a killed process loses nothing that it wrote", () => {
  expect(outcomesOf((disk) => put(disk, "/d/f", "all"), { powerCut: false })).toEqual(
    new Set(["all"]),
  );
});

test("writes within a sync are kept one by one, whatever their order, and torn at sectors", () => {
  const write = (disk: SimDisk): void => {
    putSynced(disk, "/d/f", "");
    const inode = disk.mustFind("/d/f");
    disk.write("/d/f", inode, { offset: 0, bytes: TEXT("a".repeat(1024)) });
    disk.write("/d/f", inode, { offset: 1024, bytes: TEXT("b") });
  };
  const found = [...outcomesOf(write, { powerCut: true })];
  const shapes = new Set(found.map((text) => text?.replaceAll(/(.)\1*/g, "$1")));
  // the second without the first leaves a hole of zeros
  expect(shapes).toEqual(new Set(["", "a", "ab", "\0b", "a\0b"]));
  expect(found.some((text) => text?.indexOf("\0") === 512)).toBe(true);
});

test("a rename is there or not, never half, and both names never point to it after a sync", () => {
  const rename = (disk: SimDisk): void => {
    putSynced(disk, "/d/g", "old");
    putSynced(disk, "/d/f", "new");
    disk.rename("/d/f", "/d/g");
  };
  expect(outcomesOf(rename, { powerCut: true, path: "/d/g" })).toEqual(new Set(["old", "new"]));
  const synced = (disk: SimDisk): void => {
    rename(disk);
    disk.fsyncFolder("/d");
  };
  expect(outcomesOf(synced, { powerCut: true, path: "/d/g" })).toEqual(new Set(["new"]));
  expect(outcomesOf(synced, { powerCut: true, path: "/d/f" })).toEqual(new Set([null]));
});

test("an unlink comes back until its folder is synced", () => {
  const unlink = (disk: SimDisk): void => {
    putSynced(disk, "/d/f", "all");
    disk.unlink("/d/f");
  };
  expect(outcomesOf(unlink, { powerCut: true })).toEqual(new Set(["all", null]));
});

test("a link is exclusive, and may be lost until its folder is synced", () => {
  const link = (disk: SimDisk): void => {
    putSynced(disk, "/d/t", "all");
    disk.link("/d/t", "/d/f");
    expect(() => disk.link("/d/t", "/d/f")).toThrow("EEXIST");
  };
  expect(outcomesOf(link, { powerCut: true })).toEqual(new Set(["all", null]));
});

test("after a sync that failed nobody knows, and syncing again does not help", () => {
  const twice = (disk: SimDisk): void => {
    put(disk, "/d/f", "all");
    disk.fsyncFolder("/d");
    const inode = disk.mustFind("/d/f");
    expect(() => disk.fsyncFile("/d/f", inode)).toThrow("EIO");
    disk.fsyncFile("/d/f", inode);
  };
  const failing = new Map<number, Outcome>([[1, "EIO"]]);
  const found = new Set<string | null>();
  for (let seed = 1; seed <= SEEDS; seed++) {
    let syncs = 0;
    const disk = new SimDisk({
      random: new Random(seed, "disk"),
      faults: {
        at: (operation) => (operation === "fsync" ? (failing.get(syncs++) ?? "done") : "done"),
        costUs: () => 1,
        naming: () => undefined,
        isFull: () => false,
      },
      spend: () => undefined,
    });
    disk.makeFolder("/d");
    twice(disk);
    disk.halt();
    disk.restart(true);
    found.add(READ(disk.mustFind("/d/f").bytes));
  }
  // what the second sync wrote was clean already
  expect(found.has("all")).toBe(true);
  expect(found.has("")).toBe(true);
});

test("a call whose answer is lost has taken effect: the name is there, a sync has synced", () => {
  const link = (disk: SimDisk): void => {
    putSynced(disk, "/d/t", "all");
    expect(() => disk.link("/d/t", "/d/f")).toThrow("EIO");
    expect(() => disk.link("/d/t", "/d/f")).toThrow("EEXIST");
  };
  expect(outcomesOf(link, { powerCut: false }, { link: "EIO after" })).toEqual(new Set(["all"]));
  const sync = (disk: SimDisk): void => {
    put(disk, "/d/f", "all");
    expect(() => disk.fsyncFile("/d/f", disk.mustFind("/d/f"))).toThrow("EIO");
    disk.fsyncFolder("/d");
  };
  expect(outcomesOf(sync, { powerCut: true }, { fsync: "EIO after" })).toEqual(new Set(["all"]));
});

test("a full disk takes a part of a write and says so", () => {
  const write = (disk: SimDisk): void => put(disk, "/d/f", "x".repeat(100));
  const found = outcomesOf(write, { powerCut: false }, { write: "ENOSPC" });
  expect(found.size).toBeGreaterThan(10);
  expect(Math.max(...[...found].map((text) => text?.length ?? 0))).toBeLessThanOrEqual(100);
});

test("the machine may end before a call takes effect, or after; nothing is called beyond", () => {
  const write = (disk: SimDisk): void => putSynced(disk, "/d/f", "all");
  expect(outcomesOf(write, { powerCut: false }, { write: "end before" })).toEqual(new Set([""]));
  expect(outcomesOf(write, { powerCut: false }, { write: "end after" })).toEqual(new Set(["all"]));
  const disk = diskOf(1, { mkdir: "end before" });
  expect(() => disk.makeFolder("/d")).toThrow(MachineEnded);
  expect(() => disk.find("/d")).toThrow(MachineEnded);
});
