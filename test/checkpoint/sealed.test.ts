// Sealing when the disk is full, and files that are damaged, foreign or left over. The rule itself: sealed.property.test.ts.
import { expect, test } from "bun:test";
import type { FileReader } from "../../src/base/files.ts";
import { MemoryFiles } from "../../src/base/memory-files.ts";
import { SETTINGS, type TestEvent } from "../admit/fixture.ts";
import { FOLDER, SealedRig } from "./sealed-fixture.ts";

const START_US = 1_570_000_000_000_000;
const TTL_US = 3_600_000_000;
const STREAM = { ...SETTINGS, dedupTtlUs: TTL_US, idsMax: 800 };
const ROWS = 50;

function events(first: number): TestEvent[] {
  return Array.from({ length: ROWS }, (_, row) => ({ id: `e${first + row}`, time: 0n }));
}

/** Offers new ids, with a checkpoint and all that can be sealed after each batch. Returns how many were taken until the first 503. */
function fill(rig: SealedRig, from: number, count: number, receivedAtUs: number): number {
  for (let first = from; first < from + count; first += ROWS) {
    if (rig.admit(events(first), receivedAtUs + first * 1000).full) return first - from;
    rig.checkpoint();
    rig.seal();
  }
  return count;
}

test("more ids than memory holds are duplicates for the whole TTL, and no longer", () => {
  const rig = new SealedRig(STREAM);
  expect(fill(rig, 0, 5000, START_US)).toBe(5000);
  expect(rig.admission.idTable(STREAM.name).sealedIds).toBeGreaterThan(4000);
  expect(rig.admission.idTable(STREAM.name).ids).toBeLessThan(STREAM.idsMax);
  const last = rig.admit(events(100), START_US + 100_000 + TTL_US - 1000);
  expect(last).toMatchObject({ duplicates: ROWS });
  expect(rig.admit(events(100), START_US + 100_000 + TTL_US)).toMatchObject({ accepted: ROWS });
  rig.close();
});

test("a stream that was removed: sealed or not, its ids count within the TTL when it is back, and leave the disk after it when it is not", () => {
  const rig = new SealedRig(STREAM);
  expect(fill(rig, 0, 2000, START_US)).toBe(2000);
  const through = START_US + 2_000_000;
  rig.restart(false);
  rig.checkpoint(through);
  rig.restart(false);
  rig.checkpoint(through);
  rig.restart();
  for (const first of [0, 1000, 1950])
    expect(rig.admit(events(first), through)).toMatchObject({ duplicates: ROWS });
  rig.checkpoint();
  rig.restart(false);
  expect(rig.sealer.bytes).toBeGreaterThan(0);
  rig.checkpoint(through + TTL_US);
  expect(rig.files.list(FOLDER)).toEqual([]);
  rig.restart();
  for (const first of [0, 1000, 1950])
    expect(rig.admit(events(first), through + TTL_US)).toMatchObject({ accepted: ROWS });
  rig.close();
});

test("when dedup_disk_max is reached too it is 503, said aloud; there is room again when generations expire", () => {
  const rig = new SealedRig(STREAM, { diskBytesMax: 30_000 });
  const taken = fill(rig, 0, 10_000, START_US);
  expect(taken).toBeGreaterThan(STREAM.idsMax);
  expect(taken).toBeLessThan(4000);
  expect(rig.sealer.problem?.message).toContain("dedup_disk_max is reached");
  for (const first of [0, 300, taken - ROWS])
    expect(rig.admit(events(first), START_US + taken * 1000).full).toBe(true);
  const laterUs = START_US + TTL_US + 20_000_000;
  expect(rig.admit(events(90_000), laterUs).full).toBe(false);
  rig.checkpoint();
  rig.seal();
  expect(rig.sealer.bytes).toBe(0);
  expect(fill(rig, 20_000, 1000, laterUs)).toBe(1000);
  rig.close();
});

test("a disk that is full for a while: ids stay in memory, and are sealed later", () => {
  for (const name of ["checkpoint.seal.create.before", "checkpoint.seal.sync.before"] as const) {
    const plan = { name, countdown: 1, last: 2, action: "ENOSPC" } as const;
    const rig = new SealedRig(STREAM, { files: new MemoryFiles({ plan }) });
    expect(fill(rig, 0, 600, START_US)).toBe(600);
    expect(rig.sealer.problem?.message).toContain("the disk is nearly full");
    expect(rig.files.list(FOLDER)).toEqual([]);
    for (let turn = 0; turn < 500; turn++) rig.seal();
    expect(rig.sealer.problem).toBe(null);
    expect(rig.admission.idTable(STREAM.name).sealedIds).toBeGreaterThan(0);
    expect(rig.admit(events(0), START_US + 700_000)).toMatchObject({ duplicates: ROWS });
    rig.close();
  }
});

test("a merge that finds no room closes what it would have read", () => {
  const opened = { count: 0 };
  class Counted extends MemoryFiles {
    override open(path: string): FileReader {
      const reader = super.open(path);
      opened.count++;
      return { ...reader, close: () => void opened.count-- };
    }
  }
  const plan = {
    name: "checkpoint.seal.create.before",
    countdown: 5,
    last: 9,
    action: "ENOSPC",
  } as const;
  const rig = new SealedRig(STREAM, { files: new Counted({ plan }) });
  fill(rig, 0, 2000, START_US);
  for (let turn = 0; turn < 2000; turn++) rig.seal();
  expect(rig.merges).toBeGreaterThan(0);
  expect(opened.count).toBe(rig.files.list(FOLDER).length);
  rig.close();
});

test("a damaged, cut or missing file is refused by its name, and one that nothing names is removed", () => {
  const rig = new SealedRig(STREAM);
  fill(rig, 0, 2000, START_US);
  const [file = ""] = rig.files.list(FOLDER);
  const path = `${FOLDER}/${file}`;
  const whole = rig.files.read(path);
  const put = (bytes: Uint8Array): void => {
    rig.files.unlink(path, "checkpoint.seal.unlink");
    rig.files.writeSynced(path, [bytes], "checkpoint.seal.create");
  };
  const flipped = (at: number): Uint8Array => {
    const copy = whole.slice();
    copy[at] = (copy[at] ?? 0) ^ 16;
    return copy;
  };
  const why = (): string => {
    try {
      rig.restart();
      for (let first = 0; first < 2000; first += ROWS)
        rig.admit(events(first), START_US + 2_000_000);
    } catch (error) {
      return String(error);
    }
    return "";
  };
  const damages: [Uint8Array, string][] = [
    [flipped(40), "bucket 0 has a wrong checksum"],
    [flipped(whole.length - 100), "its index has a wrong checksum"],
    [flipped(whole.length - 200), "its filter has a wrong checksum"],
    [flipped(whole.length - 20), "its trailer has a wrong checksum"],
    [flipped(whole.length - 64), "it is not one of Millrace"],
    [flipped(whole.length - 60), "it has version 17"],
    [whole.slice(1), `it has ${whole.length - 1} bytes, not ${whole.length}`],
  ];
  for (const [bytes, expected] of damages) {
    put(bytes);
    expect(why()).toContain(`the file ${file} of sealed event ids cannot be used: ${expected}`);
  }
  rig.files.unlink(path, "checkpoint.seal.unlink");
  expect(why()).toContain(`${file} of sealed event ids cannot be used: it is not there`);
  put(whole);
  rig.files.writeSynced(`${FOLDER}/left-over.ids`, [whole], "checkpoint.seal.create");
  expect(why()).toBe("");
  expect(rig.files.list(FOLDER)).not.toContain("left-over.ids");
  rig.close();
});
