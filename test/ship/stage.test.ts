// The copies that a shipment is made of leave the disk to events: the room is asked for before each piece, not once for a file. And what comes from a store takes no more memory than it may.
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DiskFiles } from "../../src/base/disk-files.ts";
import { compressIfItPays, decompressForeign } from "../../src/base/zstd.ts";
import { SavepointFolder } from "../../src/savepoint/folder.ts";
import { ShipStage } from "../../src/ship/stage.ts";
import { temporaryFolder } from "../e2e/appliance.ts";

const folder = temporaryFolder();
afterAll(folder.dispose);
const data = join(folder.path, "data");
const MB = 1024 * 1024;

/** A disk without links, which others fill while a file is copied. */
class FillingDisk extends DiskFiles {
  asked = 0;
  override link(): boolean {
    return false;
  }
  override freeBytes(): number {
    return (++this.asked < 4 ? 1024 : 512) * MB;
  }
}

test("a file that is copied while the disk fills is given up before the piece that has no room", () => {
  mkdirSync(join(data, "ids"), { recursive: true });
  mkdirSync(join(data, "tmp"));
  writeFileSync(join(data, "ids", "1.ids"), new Uint8Array(40 * MB));
  for (const make of [
    (files: DiskFiles) => new ShipStage(data, files, new Map()),
    (files: DiskFiles) => SavepointFolder.make(join(folder.path, "to"), data, files),
  ]) {
    const pieces: number[] = [];
    const put = (): void => {
      for (const bytes of make(new FillingDisk()).put("ids/1.ids")) pieces.push(bytes);
    };
    expect(put).toThrow("too little room");
    expect(pieces).toEqual([4 * MB, 4 * MB]);
  }
});

test("a frame from elsewhere makes the bytes that it should, or none", () => {
  const raw = new Uint8Array(64 * MB);
  const frame = compressIfItPays(raw) ?? raw;
  expect(frame.length).toBeLessThan(MB);
  expect(decompressForeign(frame, raw.length)).toEqual(raw);
  // before it has made more
  const limit = "Cannot create a Buffer larger";
  for (const bytes of [MB, raw.length - 1])
    expect(() => decompressForeign(frame, bytes)).toThrow(limit);
  expect(() => decompressForeign(frame, raw.length + 1)).toThrow("bytes decompressed where");
  const two = Buffer.concat([frame, frame]);
  expect(() => decompressForeign(two, raw.length)).toThrow(limit);
});
