// The manifest: what it says comes back; what is damaged, unknown, unfinished or names paths elsewhere is refused by name. A fixture of each version
// is read for good.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DiskFiles } from "../../src/base/disk-files.ts";
import { encodeManifest, readManifest, type Savepoint } from "../../src/savepoint/manifest.ts";

const FIXTURE = join(import.meta.dir, "..", "fixtures", "savepoint-1.json");

/** What the fixture says. */
const SAVEPOINT: Savepoint = {
  millrace: "0.1.0",
  jobId: "7b0d5ad5-3f9b-4b52-9d0f-0f8ad3f6b7d1",
  hashKey: "000102030405060708090a0b0c0d0e0f",
  madeAt: "2026-11-21T20:43:55.686Z",
  dataFolder: "/var/lib/millrace",
  log: { first: 3, last: 155 },
  tables: [{ name: "default.clicks_raw", version: 12, epoch: 30 }],
  files: [
    { path: "state.db", bytes: 4096, sha256: "ab".repeat(32) },
    { path: "log/0000000000000003.db-wal", bytes: 9, sha256: "cd".repeat(32) },
    {
      path: "warehouse/default/clicks_raw/data/day=2025-06-01/00000001-0.parquet",
      bytes: 7,
      sha256: "ef".repeat(32),
    },
  ],
};

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "millrace-manifest-"));
});
afterAll(() => rmSync(root, { recursive: true }));

/** Reads a folder with these files. */
function read(files: Readonly<Record<string, string | Uint8Array>>): Savepoint | string {
  const folder = mkdtempSync(join(root, "savepoint-"));
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  try {
    return readManifest(folder, new DiskFiles());
  } catch (error) {
    return String(error);
  }
}

const manifest = (change: (text: string) => string): Readonly<Record<string, string>> => ({
  "savepoint.json": change(new TextDecoder().decode(encodeManifest(SAVEPOINT))),
});

describe("a manifest", () => {
  test("comes back as it was written, today's and the fixture's", () => {
    expect(read({ "savepoint.json": encodeManifest(SAVEPOINT) })).toEqual(SAVEPOINT);
    expect(read({ "savepoint.json": readFileSync(FIXTURE) })).toEqual(SAVEPOINT);
  });

  test.each([
    [
      "another version",
      (text: string) => text.replace('"version": 1', '"version": 2'),
      "of format 2, this release knows 1",
    ],
    [
      "another position",
      (text: string) => text.replace('"last": 155', '"last": 156'),
      "its checksum does not fit",
    ],
    ["a cut", (text: string) => text.slice(0, -20), "it is not JSON"],
    ["another program's", () => "{}", "is not the manifest of a savepoint"],
    ["nothing", () => "null", "is not the manifest of a savepoint"],
  ])("%s is refused", (_name, change, why) => {
    expect(read(manifest(change))).toContain(why);
  });

  test("that names a path elsewhere is refused", () => {
    for (const path of [
      "../lock.db",
      "/etc/passwd",
      "log/../../x",
      "lock.db",
      "warehouse/./x",
      "tmp/x",
    ]) {
      const files = [{ path, bytes: 0, sha256: "" }];
      const said = read({ "savepoint.json": encodeManifest({ ...SAVEPOINT, files }) });
      expect(said).toContain(`it names ${JSON.stringify(path)}`);
    }
  });

  test("that is not there: not finished, not a savepoint, no folder", () => {
    expect(read({ "savepoint.unfinished": "" })).toContain("was not finished");
    expect(read({ "state.db": "" })).toContain("is not a savepoint: it has no savepoint.json");
    mkdirSync(join(root, "empty"));
    expect(() => readManifest(join(root, "nowhere"), new DiskFiles())).toThrow(
      "there is no folder",
    );
  });
});
