// Other engines read what a running appliance wrote: pyiceberg the tables, DuckDB and pyarrow the Parquet files; the same rows as its
// own SQL, the same types, the marker in the snapshot.
import { afterAll, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { isPythonMissing, NEEDS_PYTHON, PYTHON } from "../python/python.ts";
import { Appliance, exampleClicks, temporaryFolder } from "./appliance.ts";

const ROOT = join(import.meta.dir, "..", "..");
const CONFIG = join(ROOT, "examples", "clickstream", "millrace.yaml");
const folder = temporaryFolder();
afterAll(folder.dispose);

/** Prints per table: rows by pyiceberg, columns and types, partition days, bounds cover the data, marker, rows by pyarrow. */
const SCRIPT = `
import glob, json, sys
import pyarrow.parquet as pq
from pyiceberg.table import StaticTable
out = {}
for folder in sys.argv[1:]:
    last = max(glob.glob(folder + "/metadata/v*.metadata.json"), key=lambda p: int(p.rsplit("/v", 1)[1].split(".")[0]))
    table = StaticTable.from_metadata(last)
    data = table.scan().to_arrow()
    files = [f.file.file_path.replace("file://", "") for f in table.scan().plan_files()]
    out[folder.rsplit("/", 1)[1]] = {
        "rows": data.num_rows,
        "arrow_rows": sum(pq.read_table(f, partitioning=None).num_rows for f in files),
        "recorded": sum(f.file.record_count for f in table.scan().plan_files()),
        "types": {f.name: str(f.field_type) for f in table.schema().fields},
        "spec": [f.name for f in table.spec().fields],
        "marker": {k: v for k, v in table.current_snapshot().summary.additional_properties.items() if k.startswith("millrace.")},
        "sums": {c: int(sum(data[c].to_pylist())) for c in ("event_id", "view_count") if c in data.column_names},
    }
print(json.dumps(out))
`;

interface Read {
  readonly rows: number;
  readonly arrow_rows: number;
  readonly recorded: number;
  readonly types: Readonly<Record<string, string>>;
  readonly spec: readonly string[];
  readonly marker: Readonly<Record<string, string>>;
  readonly sums: Readonly<Record<string, number>>;
}

test.skipIf(isPythonMissing)(
  `pyiceberg, pyarrow and DuckDB read the tables ${NEEDS_PYTHON}`,
  async () => {
    const flags = ["--export.interval=200ms", "--export.rows=5000"];
    const appliance = await Appliance.start({ config: CONFIG, data: folder.path, flags });
    const clicks = exampleClicks();
    for (let at = 0; at < clicks.length; at += 500)
      await appliance.send(clicks.slice(at, at + 500).join("\n"));
    const own = await appliance.rows("SELECT count(*), sum(event_id) FROM clicks");
    const closed = await appliance.rows(
      "SELECT count(*), sum(view_count) FROM page_views_minute WHERE is_final",
    );
    expect(await appliance.stop()).toBe(0);
    const warehouse = join(folder.path, "warehouse", "default");
    const tables = ["clicks_raw", "page_views_minute"].map((name) => join(warehouse, name));
    const { stdout, stderr } = Bun.spawnSync([PYTHON, "-c", SCRIPT, ...tables]);
    expect(stderr.toString()).toBe("");
    const read = JSON.parse(stdout.toString()) as Record<string, Read>;
    const raw = read["clicks_raw"];
    const views = read["page_views_minute"];
    expect([raw?.rows, raw?.arrow_rows, raw?.recorded]).toEqual(Array(3).fill(clicks.length));
    expect(raw?.sums["event_id"]).toBe(Number(own.rows[0]?.[1]));
    expect(raw?.spec).toEqual(["event_time_day"]);
    expect(raw?.types).toMatchObject({
      event_id: "long",
      event_time: "timestamptz",
      event_type: "string",
      price: "decimal(10, 2)",
      received_at: "timestamptz",
      _position: "long",
      _index: "int",
      _behind: "long",
    });
    expect(views?.rows).toBe(Number(closed.rows[0]?.[0]));
    expect(views?.sums["view_count"]).toBe(Number(closed.rows[0]?.[1]));
    expect(views?.spec).toEqual(["window_start_day"]);
    for (const table of [raw, views])
      expect(table?.marker).toMatchObject({
        "millrace.job-id": expect.stringMatching(/^[0-9a-f-]{36}$/),
        "millrace.epoch": expect.stringMatching(/^[1-9]\d*$/),
        "millrace.position": expect.stringMatching(/^[1-9]\d*$/),
        "millrace.watermark": expect.stringMatching(/^1569\d{12}$/),
      });
    expect(readdirSync(warehouse).toSorted()).toEqual([
      "category_minute",
      "clicks_raw",
      "clicks_sessionized",
      "page_views_minute",
      "page_views_minute_1d",
      "page_views_minute_1h",
      "purchases",
      "shop_ten_minutes",
      "top_pages_minute",
      "trend_ten_minutes",
    ]);
  },
  { timeout: 120_000 },
);
