// A view whose rows change after they were put out: its outputs as a function of the position, what its table should hold after them, and how
// they are exported, here and in children that are killed. Usage as a child: changes-fixture.ts FOLDER LAST [FAILPOINT-PLAN]
import { parseFailpointPlans } from "../../src/base/failpoints.ts";
import { buildImage, type Cell } from "../../src/event/image.ts";
import { openDiskFiles } from "../../src/base/disk-files.ts";
import { readParquet } from "../../src/table/parquet-read.ts";
import { columnsOfImage, imageOfRows } from "../../src/table/row-columns.ts";
import { imageRows } from "../../src/event/image.ts";
import type { Tables } from "../../src/table/tables.ts";
import type { ViewPlan } from "../../src/view/plan.ts";
import type { ViewOutput } from "../../src/window/output.ts";
import { open, START_US } from "./tables-fixture.ts";

const MINUTE_US = 60_000_000n;
/** Windows begin an hour before midnight, so that corrections touch two days. */
const FIRST_US = BigInt(START_US) + 23n * 3_600_000_000n;
/** Rows of a window. */
const KEYS = ["a", "b", "", null];

export const CHANGES = "shop.per_minute";

export const CHANGED_PLAN: ViewPlan = {
  name: "per_minute",
  stream: "clicks",
  sql: "",
  window: { kind: "tumble", sizeUs: Number(MINUTE_US), offsetUs: 0 },
  rollupOf: null,
  filter: null,
  keys: [],
  aggregates: [],
  output: [
    {
      name: "window_start",
      type: { kind: "TIMESTAMPTZ" },
      nullable: false,
      fieldId: 1,
      source: { kind: "window_start" },
    },
    {
      name: "page",
      type: { kind: "VARCHAR" },
      nullable: true,
      fieldId: 2,
      source: { kind: "key", index: 0 },
    },
    {
      name: "total",
      type: { kind: "DECIMAL", precision: 38, scale: 2 },
      nullable: true,
      fieldId: 3,
      source: { kind: "aggregate", index: 0 },
    },
  ],
  having: null,
  topN: null,
  late: { policy: "update", allowedUs: 3_600_000_000 },
};

const IMAGE = [
  ...CHANGED_PLAN.output,
  { name: "revision", type: { kind: "BIGINT" }, nullable: false } as const,
];

/** A number below `n` that a position and a salt give. */
function pick(position: number, salt: number, n: number): number {
  const mixed = Math.imul(position * 7919 + salt * 104_729 + 1, 0x9e3779b1) >>> 0;
  return (mixed >>> 8) % n;
}

function output(op: ViewOutput["op"], position: number, rows: readonly Cell[][]): ViewOutput {
  return {
    view: "per_minute",
    kind: "rows",
    position,
    rowCount: rows.length,
    image: buildImage(IMAGE, rows),
    ...(op === undefined ? {} : { op }),
  };
}

interface Change {
  readonly op: ViewOutput["op"];
  readonly rows: readonly Cell[][];
}

/** What happens at a position: every third a window closes, at others rows of the last twenty windows change. */
function changesAt(position: number): Change[] {
  const start = (window: number): bigint => FIRST_US + BigInt(window) * MINUTE_US;
  const total = BigInt(position * 100 + 7);
  if (position % 3 === 1) {
    const rows = KEYS.slice(0, 1 + pick(position, 0, 4)).map((key) => [
      start(position),
      key,
      total,
      0n,
    ]);
    return [{ op: undefined, rows }];
  }
  const changed = Array.from({ length: 1 + pick(position, 1, 6) }, (_, index): Cell[] => {
    const window = Math.max(1, position - pick(position, 10 + index, 60));
    return [
      start(window - ((window - 1) % 3)),
      KEYS[pick(position, 20 + index, 4)] ?? null,
      index % 2 === 0 ? total + BigInt(index) : null,
      BigInt(position),
    ];
  });
  return [{ op: pick(position, 2, 4) === 0 ? "delete" : "upsert", rows: changed }];
}

export function outputsAt(position: number): ViewOutput[] {
  return changesAt(position).map(({ op, rows }) => output(op, position, rows));
}

const keyText = (row: readonly Cell[]): string => `${String(row[0])} ${JSON.stringify(row[1])}`;

/** Rows of the table after the outputs of positions 1 to `last`, by key. */
export function expectedAfter(last: number): Map<string, readonly Cell[]> {
  const rows = new Map<string, readonly Cell[]>();
  for (let position = 1; position <= last; position++)
    for (const change of changesAt(position))
      for (const row of change.rows)
        if (change.op === "delete") rows.delete(keyText(row));
        else rows.set(keyText(row), row);
  return rows;
}

/** Rows by key, as our own reader finds them in files; throws when a key is there twice. */
export function rowsIn(files: readonly string[]): Map<string, readonly Cell[]> {
  const disk = openDiskFiles(null);
  const columns = IMAGE.map((column, index) => ({ ...column, fieldId: index + 1 }));
  const rows = new Map<string, readonly Cell[]>();
  for (const path of files) {
    const of = readParquet(disk.read(path), columns);
    const all = Array.from({ length: of.rowCount }, (_, row) => ({ of, row }));
    const image = imageOfRows(
      all,
      IMAGE.map(({ type }) => type),
    );
    if (columnsOfImage(image).rowCount !== of.rowCount) throw new Error("an image lost rows");
    for (const row of imageRows(image, IMAGE)) {
      if (rows.has(keyText(row))) throw new Error(`${keyText(row)} is there twice`);
      rows.set(keyText(row), row);
    }
  }
  return rows;
}

/** Exports positions up to `last` from where the ledger stands: an epoch for each `step` of them, a commit for every second epoch. */
export function exportChanges(tables: Tables, last: number, step = 5): void {
  const rows = tables.rows("shop", CHANGED_PLAN);
  tables.commitPending();
  let epochs = 0;
  for (let position = rows.export.position + 1; position <= last; position++) {
    for (const one of outputsAt(position)) rows.add(one);
    if (position % step !== 0 && position !== last) continue;
    rows.export.cut(position, String(START_US));
    epochs++;
    if (epochs % 2 === 0 || position === last) tables.commitPending();
  }
}

if (import.meta.main) {
  const [folder = "", last = "0", plan] = process.argv.slice(2);
  const tables = open(folder, { plans: plan === undefined ? [] : parseFailpointPlans(plan) });
  exportChanges(tables, Number(last));
  tables.close();
}
