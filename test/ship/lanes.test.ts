// Few at a time, all awaited: the bound, the order, and failures.
import { expect, test } from "bun:test";
import { inOrder, Lanes } from "../../src/ship/lanes.ts";

/** Counts how many are under way, and lets others run. */
class Meter {
  now = 0;
  most = 0;
  done = 0;
  async pass(turns: number): Promise<void> {
    this.most = Math.max(this.most, ++this.now);
    for (let turn = 0; turn < turns; turn++) await Promise.resolve();
    this.now--;
    this.done++;
  }
}

test("lanes: no more than so many, and the end awaits all of them", async () => {
  const meter = new Meter();
  const lanes = new Lanes(3);
  for (let task = 0; task < 20; task++) await lanes.start(() => meter.pass(20 + (task % 5)));
  await lanes.end();
  expect([meter.most, meter.done, meter.now]).toEqual([3, 20, 0]);
});

test("lanes: a failure is told by the next start, or at the end, when nothing runs any more", async () => {
  const meter = new Meter();
  const lanes = new Lanes(2);
  const fail = async (): Promise<void> => {
    await meter.pass(20);
    throw new Error("no");
  };
  await lanes.start(fail);
  await lanes.start(() => meter.pass(50));
  expect(await lanes.end().catch(String)).toBe("Error: no");
  expect(meter.done).toBe(2);
  expect(await lanes.start(() => meter.pass(1)).catch(String)).toBe("Error: no");
});

test("in order: results in the order of items, few ahead, the failure in its turn", async () => {
  const meter = new Meter();
  const items = Array.from({ length: 12 }, (_, at) => at);
  const fetch = async (item: number): Promise<number> => {
    await meter.pass(12 - item);
    if (item === 9) throw new Error("nine");
    return item;
  };
  const got: number[] = [];
  const read = async (): Promise<void> => {
    for await (const item of inOrder(items, 4, fetch)) got.push(item);
  };
  expect(await read().catch(String)).toBe("Error: nine");
  expect(got).toEqual(items.slice(0, 9));
  expect([meter.most, meter.now]).toEqual([4, 0]);
});
