// The process that checks views says what the parser says, a plan's 64-bit constants included, and its end is an error, not a wait.
import { afterAll, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseAvroSchema } from "../../src/event/avro.ts";
import { ViewCheck } from "../../src/threads/view-check.ts";
import { ViewParser, type ViewSource } from "../../src/view/parse.ts";
import { Appliance, FROM_SOURCE, temporaryFolder } from "../e2e/appliance.ts";

const EXAMPLE = join(import.meta.dir, "../../examples/clickstream");
const parsed = parseAvroSchema(readFileSync(join(EXAMPLE, "clicks.avsc"), "utf8"), {
  eventTime: "event_time",
  eventId: "event_id",
  id: 1,
});
if (!("schema" in parsed)) throw new Error("the example's schema");
const streams = [{ name: "clicks", schema: parsed.schema }];
const view = (select: string): ViewSource => ({
  name: "v",
  sql: `SELECT window_start, ${select} FROM tumble(clicks, event_time, INTERVAL 1 MINUTE) GROUP BY ALL`,
  streams,
});
const SOURCES = [
  view("count(*) AS n, sum(price) AS s"),
  view("count(*) FILTER (WHERE product_id > 9007199254740993) AS n"),
  view("median(price) AS m"),
  view("count(* AS n"),
];

const check = new ViewCheck([...FROM_SOURCE, "__views"]);
afterAll(() => check.close());

test("answers are the parser's, in order", async () => {
  const parser = await ViewParser.open();
  const expected = await Promise.all(SOURCES.map((source) => parser.parse(source)));
  parser.close();
  expect(expected.map(({ kind }) => kind)).toEqual(["plan", "plan", "faults", "faults"]);
  expect(await Promise.all(SOURCES.map((source) => check.parse(source)))).toEqual(expected);
});

test("a process that ends is an error for who waits and who comes later", async () => {
  const ended = new ViewCheck([process.execPath, "-e", "setTimeout(() => process.exit(3), 50)"]);
  const source = SOURCES[0] as ViewSource;
  await expect(ended.parse(source)).rejects.toThrow("it ended with 3");
  await expect(ended.parse(source)).rejects.toThrow("it ended with 3");
});

test("the serving process holds no DuckDB, and no other process than the one for questions", async () => {
  const folder = temporaryFolder();
  const config = join(EXAMPLE, "millrace.yaml");
  const appliance = await Appliance.start({ config, data: join(folder.path, "data") });
  const { pid } = appliance.process;
  await appliance.rows("SELECT count(*) FROM clicks");
  expect(readFileSync(`/proc/${pid}/maps`, "utf8")).not.toContain("libduckdb");
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean),
  );
  expect(children).toHaveLength(1);
  await appliance.kill();
  folder.dispose();
}, 20_000);
