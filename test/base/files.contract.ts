// The contract of the Files port, run by every adapter. Owns no adapter: `make` gives one and an empty folder to work in.
import { describe, expect, test } from "bun:test";
import type { FailpointPlan } from "../../src/base/failpoints.ts";
import type { Files } from "../../src/base/files.ts";

const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const string = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** An adapter under test, and a folder of its own that exists. */
export interface FilesUnderTest {
  readonly files: Files;
  readonly folder: string;
}

/** Registers the tests of the port for one adapter. */
export function filesContract(
  name: string,
  make: (plan: FailpointPlan | null) => FilesUnderTest,
): void {
  describe(`Files: ${name}`, () => {
    test("writes parts in order, once", () => {
      const { files, folder } = make(null);
      const path = `${folder}/a`;
      expect(files.writeSynced(path, [text("ab"), text(""), text("c")], "log.file.prepare")).toBe(
        3,
      );
      expect(string(files.read(path))).toBe("abc");
      expect(files.sizeBytes(path)).toBe(3);
      expect(() => files.writeSynced(path, [text("x")], "log.file.prepare")).toThrow("EEXIST");
      expect(string(files.read(path))).toBe("abc");
    });

    test("folders are made with their parents, twice without an error, never over a file", () => {
      const { files, folder } = make(null);
      files.makeFolder(`${folder}/x/y/z`);
      files.makeFolder(`${folder}/x/y/z`);
      expect(files.exists(`${folder}/x/y/z`)).toBe(true);
      expect(files.list(`${folder}/x`)).toEqual(["y"]);
      files.writeSynced(`${folder}/f`, [text("1")], "log.file.prepare");
      expect(() => files.makeFolder(`${folder}/f/g`)).toThrow();
      expect(() => files.makeFolder(`${folder}/f`)).toThrow();
      files.sync(`${folder}/x`, "log.trim.sync");
    });

    test("a link is exclusive and keeps the bytes when the first name goes", () => {
      const { files, folder } = make(null);
      files.writeSynced(`${folder}/from`, [text("1")], "log.file.prepare");
      files.writeSynced(`${folder}/taken`, [text("2")], "log.file.prepare");
      expect(files.linkExclusive(`${folder}/from`, `${folder}/taken`, "log.file.publish")).toBe(
        false,
      );
      expect(files.linkExclusive(`${folder}/from`, `${folder}/to`, "log.file.publish")).toBe(true);
      files.unlink(`${folder}/from`, "log.trim.db");
      expect(string(files.read(`${folder}/to`))).toBe("1");
      expect(string(files.read(`${folder}/taken`))).toBe("2");
      expect(() => files.linkExclusive(`${folder}/no`, `${folder}/n`, "log.file.publish")).toThrow(
        "ENOENT",
      );
    });

    test("a link is another name for a file, never in the place of one", () => {
      const { files, folder } = make(null);
      files.writeSynced(`${folder}/from`, [text("1")], "log.file.prepare");
      expect(files.link(`${folder}/from`, `${folder}/to`, "savepoint.file.link")).toBe(true);
      expect(() => files.link(`${folder}/from`, `${folder}/to`, "savepoint.file.link")).toThrow(
        "EEXIST",
      );
      files.unlink(`${folder}/from`, "log.trim.db");
      expect(string(files.read(`${folder}/to`))).toBe("1");
    });

    test("a rename replaces", () => {
      const { files, folder } = make(null);
      files.writeSynced(`${folder}/a`, [text("1")], "log.file.prepare");
      files.writeSynced(`${folder}/b`, [text("2")], "log.file.prepare");
      files.renameOver(`${folder}/a`, `${folder}/b`, "log.file.publish");
      expect(files.list(folder)).toEqual(["b"]);
      expect(string(files.read(`${folder}/b`))).toBe("1");
    });

    test("absent files: unlink and list are quiet, read and sync are not", () => {
      const { files, folder } = make(null);
      files.unlink(`${folder}/no`, "log.trim.db");
      expect(files.exists(`${folder}/no`)).toBe(false);
      expect(files.sizeBytes(`${folder}/no`)).toBe(0);
      expect(files.list(`${folder}/no`)).toEqual([]);
      expect(() => files.read(`${folder}/no`)).toThrow("ENOENT");
      expect(() => files.sync(`${folder}/no`, "log.trim.sync")).toThrow("ENOENT");
      expect(() => files.writeSynced(`${folder}/no/x`, [], "log.file.prepare")).toThrow("ENOENT");
    });

    test("a file written in pieces is read in parts, also after it was unlinked", () => {
      const { files, folder } = make(null);
      const path = `${folder}/pieces`;
      const writer = files.create(path, "log.file.prepare");
      writer.write(text("abc"));
      writer.write(text("defg"));
      expect(writer.finish("log.file.publish")).toBe(7);
      expect(() => files.create(path, "log.file.prepare")).toThrow("EEXIST");
      const reader = files.open(path);
      files.unlink(path, "log.trim.db");
      const into = new Uint8Array(3);
      reader.read(2, into);
      expect(string(into)).toBe("cde");
      expect(reader.sizeBytes).toBe(7);
      expect(() => reader.read(5, into)).toThrow("ends before byte 8");
      reader.close();
      expect(() => files.open(path)).toThrow("ENOENT");
    });

    test("an abandoned file is gone; a step that fails says so", () => {
      const { files, folder } = make({
        name: "log.file.publish.before",
        countdown: 1,
        action: "ENOSPC",
      });
      const writer = files.create(`${folder}/a`, "log.file.prepare");
      writer.write(text("abc"));
      expect(() => writer.finish("log.file.publish")).toThrow("ENOSPC");
      writer.abandon("checkpoint.seal.abandon");
      expect(files.list(folder)).toEqual([]);
    });

    test("a folder goes with all that is in it, its neighbours stay; what is not there is no error", () => {
      const { files, folder } = make(null);
      files.makeFolder(`${folder}/a/b`);
      for (const path of ["a/1", "a/b/2", "ab", "c"])
        files.writeSynced(`${folder}/${path}`, [text("x")], "log.file.prepare");
      for (const path of ["a", "c", "a", "none/x", "ab/x"])
        files.removeTree(`${folder}/${path}`, "restore.abandon");
      expect(files.list(folder)).toEqual(["ab"]);
      expect(files.exists(`${folder}/a/b/2`)).toBe(false);
    });

    test("lists in order; free room is a number of bytes", () => {
      const { files, folder } = make(null);
      for (const file of ["b", "c", "a"])
        files.writeSynced(`${folder}/${file}`, [], "log.file.prepare");
      expect(files.list(folder)).toEqual(["a", "b", "c"]);
      expect(files.freeBytes(folder)).toBeGreaterThan(0);
    });

    test("an armed failpoint fails its step from the n-th time on, with nothing done", () => {
      const { files, folder } = make({
        name: "log.file.publish.before",
        countdown: 2,
        action: "ENOSPC",
      });
      files.writeSynced(`${folder}/a`, [text("1")], "log.file.prepare");
      expect(files.linkExclusive(`${folder}/a`, `${folder}/b`, "log.file.publish")).toBe(true);
      expect(() => files.linkExclusive(`${folder}/a`, `${folder}/c`, "log.file.publish")).toThrow(
        "ENOSPC",
      );
      expect(() => files.reach("log.file.publish.before")).toThrow("ENOSPC");
      expect(files.list(folder)).toEqual(["a", "b"]);
    });

    test("inside a write a file has half of its bytes, after a step all of it is done", () => {
      const inside = make({ name: "log.file.prepare.inside", countdown: 1, action: "EIO" });
      const path = `${inside.folder}/a`;
      const write = (files: Files, to: string): number =>
        files.writeSynced(to, [text("abcd")], "log.file.prepare");
      expect(() => write(inside.files, path)).toThrow("EIO");
      expect(string(inside.files.read(path))).toBe("ab");
      const { files, folder } = make({
        name: "log.file.publish.after",
        countdown: 1,
        action: "EIO",
      });
      write(files, `${folder}/a`);
      expect(() => files.renameOver(`${folder}/a`, `${folder}/b`, "log.file.publish")).toThrow();
      expect(files.list(folder)).toEqual(["b"]);
    });

    test("a disk may be full for a while: from the n-th time to the m-th", () => {
      const measure = "files.free.measure";
      const { files, folder } = make({ name: measure, countdown: 2, last: 3, action: "ENOSPC" });
      const free = Array.from({ length: 5 }, () => files.freeBytes(folder) > 0);
      expect(free).toEqual([true, false, false, true, true]);
    });
  });
}
