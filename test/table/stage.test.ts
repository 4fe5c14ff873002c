// A stage whose rows are parted by the day on which they were received: a constant of each image, since the event time is not a column.
import { expect, test } from "bun:test";
import { buildImage } from "../../src/event/image.ts";
import { EPOCH_DAYS_MAX } from "../../src/limits.ts";
import { Stage, type DaySlices } from "../../src/table/stage.ts";
import { exportRoom } from "./fixture.ts";

const DAY_US = 86_400_000_000n;
const COLUMNS = [{ name: "n", type: { kind: "BIGINT" }, nullable: false }] as const;

/** Images of 1, 2, 3, 1, ... rows, two a day, on as many days. */
async function staged(days: number): Promise<Stage> {
  const stage = new Stage(await exportRoom(), "received_at");
  for (let at = 0; at < days * 2; at++) {
    const rows = Array.from({ length: 1 + (at % 3) }, (_, row) => [BigInt(row)]);
    const receivedAtUs = BigInt(Math.floor(at / 2)) * DAY_US + (at % 2 === 0 ? 0n : DAY_US - 1000n);
    stage.add(buildImage(COLUMNS, rows), [receivedAtUs, BigInt(at)]);
  }
  return stage;
}

const rowsByDay = (days: readonly DaySlices[]): (readonly [number | null, number])[] =>
  days.map(({ day, slices }) => [day, slices.reduce((sum, { count }) => sum + count, 0)]);

test("days are those of the receipt, all at once and some of many", async () => {
  const few = await staged(3);
  expect([few.isWide, [...few.days()]]).toEqual([false, [0, 1, 2]]);
  expect(rowsByDay(few.take())).toEqual([
    [0, 3],
    [1, 4],
    [2, 5],
  ]);
  expect(few.rowCount).toBe(0);
  const many = await staged(EPOCH_DAYS_MAX + 1);
  expect(many.isWide).toBe(true);
  expect(rowsByDay(many.takeDays(new Set([1, 64])))).toEqual([
    [1, 4],
    [64, 4],
  ]);
}, 60_000);
