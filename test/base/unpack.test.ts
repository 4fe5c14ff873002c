import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Embedded } from "../../src/base/embedded.ts";
import { cacheFolders, examplesFolder, unpackedFolder, unpackInto } from "../../src/base/unpack.ts";

let folder: string;
let carried: Embedded;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "millrace-unpack-"));
  writeFileSync(join(folder, "one"), "first");
  writeFileSync(join(folder, "two"), "second");
  carried = {
    hash: "0123456789abcdef".repeat(4),
    files: [
      { name: "lib.so", path: join(folder, "one"), bytes: 5 },
      { name: "examples/a/b.yaml", path: join(folder, "two"), bytes: 6 },
    ],
  };
});
afterAll(() => rmSync(folder, { recursive: true }));

test("files are unpacked whole, once, and nothing is left beside them", () => {
  const parent = join(folder, "cache");
  const first = unpackInto([parent], carried);
  expect(readFileSync(join(first, "examples/a/b.yaml"), "utf8")).toBe("second");
  expect(unpackInto([parent], carried)).toBe(first);
  expect(readdirSync(parent)).toEqual([carried.hash.slice(0, 32)]);
});

test("a damaged folder is made anew", () => {
  const parent = join(folder, "damaged");
  const first = unpackInto([parent], carried);
  writeFileSync(join(first, "lib.so"), "fi");
  expect(readFileSync(join(unpackInto([parent], carried), "lib.so"), "utf8")).toBe("first");
  expect(readdirSync(parent)).toHaveLength(1);
});

test("a folder that others may write is passed over: they could put a library there", () => {
  const open = join(folder, "open");
  mkdirSync(open);
  chmodSync(open, 0o777);
  const own = join(folder, "own");
  expect(unpackInto([open, own], carried)).toStartWith(own);
  expect(() => unpackInto([open], carried)).toThrow("name a folder with XDG_CACHE_HOME");
});

test("the user's cache folder comes first, the temporary one last", () => {
  const folders = cacheFolders({ XDG_CACHE_HOME: "/x" });
  expect(folders[0]).toBe("/x/millrace");
  expect(folders.at(-1)).toStartWith(tmpdir());
  expect(cacheFolders({ XDG_CACHE_HOME: "relative" })[0]).toEndWith(".cache/millrace");
});

test("from source nothing is unpacked, and the examples are the repository's", () => {
  expect(unpackedFolder()).toBeNull();
  expect(existsSync(join(examplesFolder(), "clickstream", "millrace.yaml"))).toBe(true);
});
