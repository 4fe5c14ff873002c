// Where a savepoint may lie, and how files get there: linked, or copied where there are no links. node:crypto judges the checksums.
import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DiskFiles } from "../../src/base/disk-files.ts";
import { SavepointFolder } from "../../src/savepoint/folder.ts";
import { readManifest } from "../../src/savepoint/manifest.ts";

let root: string;
let data: string;
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), "millrace-savepoint-")));
  data = join(root, "data");
  mkdirSync(join(data, "ids"), { recursive: true });
});
afterEach(() => rmSync(root, { recursive: true }));

/** A file system without links, as another one is. */
class NoLinks extends DiskFiles {
  override link(): boolean {
    return false;
  }
}

const PLAIN = {
  millrace: "0.1.0",
  jobId: "a",
  hashKey: "00",
  madeAt: "2026-01-01T00:00:00Z",
  dataFolder: "/data",
  log: { first: 1, last: 2 },
  tables: [],
};

describe("a file", () => {
  test.each([
    ["linked", new DiskFiles(), 2],
    ["copied", new NoLinks(), 1],
  ] as const)("that is %s has its bytes and its checksum in the manifest", (how, files, links) => {
    // some pieces and a rest
    const bytes = new Uint8Array(9 * 1024 * 1024 + 7).map((_, at) => (at * 31) >>> 8);
    writeFileSync(join(data, "ids", "1.ids"), bytes);
    const folder = SavepointFolder.make(join(root, "to"), data, files);
    const read = [...folder.put("ids/1.ids")].reduce((sum, piece) => sum + piece, 0);
    expect(read).toBe(bytes.length);
    expect(folder.linked.files).toBe(how === "linked" ? 1 : 0);
    expect(existsSync(join(root, "to", "savepoint.unfinished"))).toBe(true);
    folder.finish(PLAIN);
    const copy = join(root, "to", "ids", "1.ids");
    expect([statSync(copy).nlink, readFileSync(copy).equals(bytes)]).toEqual([links, true]);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    expect(readManifest(join(root, "to"), files).files).toEqual([
      { path: "ids/1.ids", bytes: bytes.length, sha256 },
    ]);
    expect(readdirSync(join(root, "to")).toSorted()).toEqual(["ids", "savepoint.json"]);
  });

  test("that is given up half-way is gone, and so is the folder that was made; one that was there is empty again", () => {
    writeFileSync(join(data, "ids", "1.ids"), new Uint8Array(9 * 1024 * 1024));
    for (const isThere of [false, true]) {
      const to = join(root, `to-${isThere}`);
      if (isThere) mkdirSync(to);
      const folder = SavepointFolder.make(to, data, new NoLinks());
      const copying = folder.put("ids/1.ids");
      copying.next();
      copying.return(undefined);
      expect(existsSync(join(to, "ids", "1.ids"))).toBe(false);
      folder.abandon();
      expect(existsSync(to) ? readdirSync(to) : null).toEqual(isThere ? [] : null);
    }
  });
});

describe("a folder", () => {
  const refusal = (path: string): string => {
    try {
      SavepointFolder.make(path, data, new DiskFiles());
      return "made";
    } catch (error) {
      return String(error);
    }
  };

  test("that holds anything, is a file, or lies in the data folder, by a link too, is refused", () => {
    mkdirSync(join(root, "full"));
    writeFileSync(join(root, "full", "x"), "");
    symlinkSync(data, join(root, "link"));
    expect(refusal(join(root, "full"))).toContain("is not empty: it holds x");
    expect(refusal(join(root, "full", "x"))).toContain("is not a folder");
    expect(refusal("to")).toContain("is not an absolute path");
    for (const inside of [
      data,
      join(data, "a", "b"),
      join(root, "link", "a"),
      root,
      `${data}/../data/a`,
    ])
      expect(refusal(inside)).toContain("lie in each other");
    expect(refusal(join(root, "new", "er"))).toBe("made");
    expect(refusal(join(root, "new", "er"))).toContain("holds a savepoint that was not finished");
    expect(refusal(`${data}-2/`)).toBe("made");
  });
});
