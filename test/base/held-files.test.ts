// Unlinks that are held back: nothing goes until they are released, then all of it, in order.
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HeldFiles } from "../../src/base/held-files.ts";

const root = mkdtempSync(join(tmpdir(), "millrace-held-"));
afterAll(() => rmSync(root, { recursive: true }));

test("held files are there until the release, others go at once", () => {
  const files = new HeldFiles(null);
  for (const name of ["a", "b", "c", "d"]) writeFileSync(join(root, name), name);
  const unlink = (name: string): void => files.unlink(join(root, name), "table.orphan.unlink");
  unlink("a");
  files.hold();
  unlink("b");
  files.hold();
  unlink("c");
  expect(readdirSync(root).toSorted()).toEqual(["b", "c", "d"]);
  files.release();
  expect(readdirSync(root)).toEqual(["d"]);
  files.release();
  unlink("d");
  expect(readdirSync(root)).toEqual([]);
});

test("a failpoint is reached when a file goes", () => {
  const files = new HeldFiles("table.orphan.unlink.before:eio");
  files.hold();
  files.unlink(join(root, "e"), "table.orphan.unlink");
  expect(() => files.release()).toThrow("EIO");
});
