// A view whose rows late events change, as questions see it: the last word on each key beyond the ledger takes the place of the file's row.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import type { Cell } from "../../src/event/image.ts";
import type { PinnedChange, PinnedView } from "../../src/query/pin.ts";
import {
  emptyPin,
  openFixture,
  pageViews,
  provider,
  question,
  T0,
  textOf,
  VIEW_COLUMNS,
  viewRow,
  writeImage,
  writeParquet,
  type Fixture,
} from "./fixture.ts";

let fixture: Fixture;
let file: string;
beforeAll(async () => {
  fixture = await openFixture();
  file = await writeParquet(join(fixture.warehouse, "rows.parquet"), VIEW_COLUMNS, [
    viewRow(0, "/a", 1),
    viewRow(0, "/b", 2),
    viewRow(0, null, 3),
    viewRow(1, "/a", 4),
    viewRow(1, "/gone", 5),
  ]);
});
afterAll(() => fixture.close());

let images = 0;
function change(op: PinnedChange["op"], rows: readonly Cell[][]): PinnedChange {
  const path = writeImage(join(fixture.folder, `change-${images++}.image`), VIEW_COLUMNS, rows);
  return { op, path };
}

/** Window, page and count of each row, in order. */
async function rowsOf(view: PinnedView, where = ""): Promise<unknown> {
  const pin = { ...emptyPin(fixture, 0), views: [view] };
  const sql = `SELECT (epoch_us(window_start) - ${T0}) // 60000000, page, count, is_final FROM page_views ${where} ORDER BY ALL NULLS LAST`;
  const text = textOf(await fixture.service.ask(question(sql), provider(pin).pinFor));
  return (JSON.parse(text) as { rows: unknown }).rows;
}

test("the last word on a key counts, and takes the place of the file's row; open windows are beside it", async () => {
  const changes = [
    change("append", [viewRow(2, "/a", 10), viewRow(2, null, 11)]),
    change("upsert", [viewRow(0, null, 30), viewRow(1, "/a", 40), viewRow(2, "/a", 100)]),
    change("delete", [viewRow(1, "/gone", 5), viewRow(2, null, 11)]),
    change("upsert", [viewRow(1, "/new", 7), viewRow(1, "/a", 41)]),
    // gone, and there again: a merged session may have the bounds of one before
    change("delete", [viewRow(0, "/b", 2)]),
    change("append", [viewRow(0, "/b", 20)]),
  ];
  const open = writeImage(join(fixture.folder, "open.image"), VIEW_COLUMNS, [viewRow(3, "/a", 1)]);
  const watermarkUs = String(T0 + 2 * 60_000_000);
  const view = { ...pageViews([file], [open], watermarkUs), changes };
  const all = [
    [0, "/a", 1, true],
    [0, "/b", 20, true],
    [0, null, 30, true],
    [1, "/a", 41, true],
    [1, "/new", 7, true],
    [2, "/a", 100, false],
    [3, "/a", 1, false],
  ];
  expect(await rowsOf(view)).toEqual(all);
  // the file has the first row only that is as it was
  expect(await rowsOf({ ...view, rows: { ...view.rows, files: [] } })).toEqual(all.slice(1));
});

test("a text that a question looks for does not pass over the change that takes its row away", async () => {
  const view = {
    ...pageViews([file], [], null),
    changes: [change("delete", [viewRow(1, "/gone", 5)]), change("upsert", [viewRow(0, "/b", 9)])],
  };
  expect(await rowsOf(view, "WHERE page = '/gone'")).toEqual([]);
  expect(await rowsOf(view, "WHERE page = '/b'")).toEqual([[0, "/b", 9, false]]);
});
