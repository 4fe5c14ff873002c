// The data folder: made, owned by one process, refused when it is not ours.
import { Database } from "bun:sqlite";
import { afterAll, describe, expect, test, setDefaultTimeout } from "bun:test";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DiskFiles } from "../../src/base/disk-files.ts";
import { clockRefusal, DataFolderError, openDataFolder } from "../../src/log/data-folder.ts";

// every commit is synced: a disk that others use too may take its time
setDefaultTimeout(60_000);

const root = mkdtempSync(join(tmpdir(), "millrace-folder-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const files = new DiskFiles();
const newPath = (): string => join(mkdtempSync(join(root, "t-")), "data");
const source = join(import.meta.dir, "../../src");

describe("data folder", () => {
  test("has one path, whichever link leads to it", () => {
    const path = newPath();
    mkdirSync(path);
    const link = `${path}-link`;
    symlinkSync(path, link);
    const folder = openDataFolder(link, files);
    expect(folder.path).toBe(realpathSync(path));
    folder.close();
  });

  test("is made with its layout and keeps its identity", () => {
    const path = newPath();
    const made = openDataFolder(path, files);
    expect(made.isNew).toBe(true);
    expect(made.jobId).toMatch(/^[0-9a-f]{8}-[0-9a-f-]{27}$/);
    expect(made.hashKey.length).toBe(16);
    for (const name of ["lock.db", "log", "tmp", "warehouse"])
      expect(readdirSync(path)).toContain(name);
    expect(statSync(join(path, "lock.db")).mode & 0o777).toBe(0o600);
    writeFileSync(join(path, "tmp", "left-over"), "x");
    made.close();
    const again = openDataFolder(path, files);
    expect(again.isNew).toBe(false);
    expect([again.jobId, again.hashKey]).toEqual([made.jobId, made.hashKey]);
    expect(readdirSync(join(path, "tmp"))).toEqual([]);
    again.close();
    const other = openDataFolder(newPath(), files);
    expect(other.jobId).not.toBe(made.jobId);
    expect(other.hashKey).not.toEqual(made.hashKey);
    other.close();
  });

  test("has one owner at a time, also across processes, until it is closed or killed", () => {
    const path = newPath();
    const owner = openDataFolder(path, files);
    expect(() => openDataFolder(path, files)).toThrow(
      `${path} is in use by another millrace process`,
    );
    const script = `
      import { DiskFiles } from ${JSON.stringify(`${source}/base/disk-files.ts`)};
      import { openDataFolder } from ${JSON.stringify(`${source}/log/data-folder.ts`)};
      openDataFolder(${JSON.stringify(path)}, new DiskFiles());
      process.kill(process.pid, "SIGKILL");`;
    const second = Bun.spawnSync([process.execPath, "--no-install", "-e", script]);
    expect(second.stderr.toString()).toContain("is in use by another millrace process");
    owner.close();
    const third = Bun.spawnSync([process.execPath, "--no-install", "-e", script]);
    expect(third.signalCode).toBe("SIGKILL");
    openDataFolder(path, files).close();
  });

  test("a first start that was killed, at either side of the identity's commit, is repeated", () => {
    for (const name of [
      "log.identity.before",
      "log.identity.inside",
      "log.identity.after",
    ] as const) {
      const path = newPath();
      const failing = new DiskFiles({ name, countdown: 1, action: "EIO" });
      expect(() => openDataFolder(path, failing)).toThrow("EIO");
      openDataFolder(path, files).close();
    }
    const path = newPath();
    mkdirSync(path);
    writeFileSync(join(path, "lock.db"), "");
    expect(openDataFolder(path, files).isNew).toBe(true);
  });

  test("refuses what is not a data folder, with what to do", () => {
    const file = join(mkdtempSync(join(root, "t-")), "file");
    writeFileSync(file, "x");
    expect(() => openDataFolder(file, files)).toThrow(`${file} is not a folder`);
    expect(() => openDataFolder(join(file, "below"), files)).toThrow(DataFolderError);

    const used = newPath();
    mkdirSync(used);
    writeFileSync(join(used, "thesis.txt"), "x");
    expect(() => openDataFolder(used, files)).toThrow(/holds thesis\.txt.*Name an empty folder/);
    expect(readdirSync(used)).toEqual(["thesis.txt"]);

    const garbage = newPath();
    mkdirSync(garbage);
    writeFileSync(join(garbage, "lock.db"), "not a database ".repeat(100));
    expect(() => openDataFolder(garbage, files)).toThrow(/lock\.db is not a database/);

    const foreign = newPath();
    mkdirSync(foreign);
    const database = new Database(join(foreign, "lock.db"));
    database.run("CREATE TABLE other (x)");
    database.close();
    expect(() => openDataFolder(foreign, files)).toThrow("its lock.db belongs to another program");

    const unlocked = newPath();
    openDataFolder(unlocked, files).close();
    rmSync(join(unlocked, "lock.db"));
    expect(() => openDataFolder(unlocked, files)).toThrow(/no lock\.db.*Restore lock\.db/);
  });

  test("refuses a newer format", () => {
    const path = newPath();
    openDataFolder(path, files).close();
    const database = new Database(join(path, "lock.db"));
    database.run("PRAGMA user_version = 7");
    database.close();
    expect(() => openDataFolder(path, files)).toThrow(/data format 7, newer than 1/);
  });

  test("refuses a folder that cannot be written", () => {
    for (const action of ["EIO", "ENOSPC"] as const) {
      const failing = new DiskFiles({ name: "log.probe.write.before", countdown: 1, action });
      expect(() => openDataFolder(newPath(), failing)).toThrow(/cannot be written.*--data/);
    }
  });

  test("a damaged lock.db is refused", () => {
    const path = newPath();
    openDataFolder(path, files).close();
    truncateSync(join(path, "lock.db"), 5000);
    expect(() => openDataFolder(path, files)).toThrow(/lock\.db is not a database, or is damaged/);
  });

  test("a clock more than a minute behind the last record is refused", () => {
    const lastUs = 1_700_000_000_000_000;
    expect(clockRefusal(lastUs, 0)).toBeNull();
    expect(clockRefusal(lastUs + 1, lastUs)).toBeNull();
    expect(clockRefusal(lastUs - 60_000_000, lastUs)).toBeNull();
    expect(clockRefusal(lastUs - 61_000_000, lastUs)).toMatch(
      /2023-11-14T22:12:19\.000Z, 61 s before .*2023-11-14T22:13:20\.000Z.*Set the clock right/,
    );
  });
});
