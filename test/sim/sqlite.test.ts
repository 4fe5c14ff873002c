// The simulated SQLite: which transactions are there after the machine ended, as documented for WAL mode.
import { afterEach, expect, test } from "bun:test";
import { SimDisk, type Outcome } from "./disk.ts";
import { machine, runOn } from "./machine-now.ts";
import { Random } from "./random.ts";
import { Actor, Scheduler } from "./scheduler.ts";
import { Database } from "./sqlite.ts";

const SEEDS = 100;

afterEach(() => runOn(null));

/** The values in a database after `write`, the machine's end and a start, over many seeds. `outcomes` of its commits, in order. */
function outcomesOf(
  write: (database: Database) => void,
  ended: { readonly powerCut: boolean },
  outcomes: readonly Outcome[] = [],
): Set<string> {
  const found = new Set<string>();
  for (let seed = 1; seed <= SEEDS; seed++) {
    let commits = 0;
    const scheduler = new Scheduler(new Random(seed, "scheduler"));
    const disk = new SimDisk({
      random: new Random(seed, "disk"),
      faults: {
        at: (operation) => (operation === "commit" ? (outcomes[commits++] ?? "done") : "done"),
        costUs: () => 1,
        naming: () => undefined,
        isFull: () => false,
      },
      spend: () => undefined,
    });
    runOn({
      disk,
      scheduler,
      random: new Random(seed, "product"),
      wallUs: () => 0,
      thread: (name) => new Actor(name),
    });
    disk.makeFolder("/d");
    disk.create("/d/x.db");
    disk.fsyncFolder("/d");
    try {
      write(new Database("/d/x.db"));
    } catch {
      // the machine has ended, or the commit failed
    }
    disk.halt();
    disk.restart(ended.powerCut);
    const rows = valuesIn(new Database("/d/x.db"));
    found.add(rows);
  }
  return found;
}

function valuesIn(database: Database): string {
  const tables = database.prepare<{ count: number }>("SELECT count(*) AS count FROM sqlite_schema");
  if (tables.get()?.count === 0) return "no table";
  const values = database.prepare<{ value: number }>("SELECT value FROM x ORDER BY value");
  return values
    .all()
    .map(({ value }) => value)
    .join(" ");
}

function insertEach(database: Database, ...values: number[]): void {
  database.run("CREATE TABLE x (value INTEGER)");
  for (const value of values) database.run("INSERT INTO x VALUES (?)", [value]);
}

test("a commit that returned is there after a power cut", () => {
  const write = (database: Database): void => insertEach(database, 1, 2);
  expect(outcomesOf(write, { powerCut: true })).toEqual(new Set(["1 2"]));
});

test("a transaction is whole or not there, wherever the machine ends", () => {
  const write = (database: Database): void => {
    insertEach(database);
    database.run("BEGIN IMMEDIATE");
    database.run("INSERT INTO x VALUES (1)");
    database.run("INSERT INTO x VALUES (2)");
    database.run("COMMIT");
  };
  expect(outcomesOf(write, { powerCut: true }, ["done", "end after"])).toEqual(new Set(["1 2"]));
  expect(outcomesOf(write, { powerCut: true }, ["done", "end before"])).toEqual(new Set([""]));
});

test("an open transaction is gone with the process", () => {
  const write = (database: Database): void => {
    insertEach(database, 1);
    database.run("BEGIN IMMEDIATE");
    database.run("INSERT INTO x VALUES (2)");
  };
  expect(outcomesOf(write, { powerCut: false })).toEqual(new Set(["1"]));
});

test("without sync a power cut takes back any number of the last commits, a kill none", () => {
  const write = (database: Database): void => {
    database.run("PRAGMA synchronous = OFF");
    insertEach(database, 1, 2);
  };
  expect(outcomesOf(write, { powerCut: true })).toEqual(new Set(["no table", "", "1", "1 2"]));
  expect(outcomesOf(write, { powerCut: false })).toEqual(new Set(["1 2"]));
});

test("a sync of the -wal makes earlier commits durable", () => {
  const found = outcomesOf(
    (database) => {
      database.run("PRAGMA synchronous = OFF");
      insertEach(database, 1);
      const { disk } = machine();
      disk.fsyncFile("/d/x.db-wal", disk.mustFind("/d/x.db-wal"));
      database.run("INSERT INTO x VALUES (2)");
    },
    { powerCut: true },
  );
  expect(found).toEqual(new Set(["1", "1 2"]));
});

test("a commit that fails with EIO shows nothing, and may be there after a start", () => {
  const write = (database: Database): void => {
    insertEach(database, 1);
    expect(() => database.run("INSERT INTO x VALUES (2)")).toThrow("disk I/O error");
    expect(valuesIn(database)).toBe("1");
  };
  expect(outcomesOf(write, { powerCut: false }, ["done", "done", "EIO"])).toEqual(
    new Set(["1", "1 2"]),
  );
});

test("a commit whose answer is lost shows nothing, and is there after a start, and gone when another took its place", () => {
  const write = (database: Database): void => {
    insertEach(database, 1);
    expect(() => database.run("INSERT INTO x VALUES (2)")).toThrow("disk I/O error");
    expect(valuesIn(database)).toBe("1");
  };
  const lost: Outcome[] = ["done", "done", "EIO after"];
  expect(outcomesOf(write, { powerCut: true }, lost)).toEqual(new Set(["1 2"]));
  const again = (database: Database): void => {
    write(database);
    database.run("INSERT INTO x VALUES (3)");
  };
  expect(outcomesOf(again, { powerCut: false }, lost)).toEqual(new Set(["1 3"]));
});

test("a full disk takes the transaction back, and the next one may succeed", () => {
  const write = (database: Database): void => {
    insertEach(database, 1);
    expect(() => database.run("INSERT INTO x VALUES (2)")).toThrow("full");
    database.run("INSERT INTO x VALUES (3)");
  };
  expect(outcomesOf(write, { powerCut: true }, ["done", "done", "ENOSPC"])).toEqual(
    new Set(["1 3"]),
  );
});
