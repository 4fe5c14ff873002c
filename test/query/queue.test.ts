// Bounded, fair admission of questions.
import { expect, test } from "bun:test";
import { FairQueue } from "../../src/query/queue.ts";

const never = new AbortController().signal;

test("places are bounded, the queue is bounded, and who leaves lets the next one in", async () => {
  const queue = new FairQueue({ runningMax: 2, waitingMax: 1 });
  expect(await queue.enter("a", never)).toBe(true);
  expect(await queue.enter("a", never)).toBe(true);
  const third = queue.enter("a", never);
  expect(await queue.enter("a", never)).toBe(false);
  expect([queue.running, queue.waiting]).toEqual([2, 1]);
  queue.leave("a");
  expect(await third).toBe(true);
  expect([queue.running, queue.waiting]).toEqual([2, 0]);
});

test("one client with many questions does not hold up another with one", async () => {
  const queue = new FairQueue({ runningMax: 2, waitingMax: 10 });
  await queue.enter("many", never);
  await queue.enter("many", never);
  const order: string[] = [];
  const waiting = ["many", "many", "many", "one"].map(async (client) => {
    expect(await queue.enter(client, never)).toBe(true);
    order.push(client);
  });
  queue.leave("many");
  await Bun.sleep(0);
  expect(order).toEqual(["one"]);
  for (const client of ["one", "many", "many", "many"]) {
    queue.leave(client);
    await Bun.sleep(0);
  }
  await Promise.all(waiting);
  expect(order).toEqual(["one", "many", "many", "many"]);
});

test("who gives up leaves the queue, and a place that comes later goes to the next", async () => {
  const queue = new FairQueue({ runningMax: 1, waitingMax: 10 });
  await queue.enter("a", never);
  const controller = new AbortController();
  const gone = queue.enter("b", controller.signal);
  const next = queue.enter("c", never);
  controller.abort();
  expect(await gone).toBe(false);
  queue.leave("a");
  expect(await next).toBe(true);
  expect(await queue.enter("d", controller.signal)).toBe(false);
  expect([queue.running, queue.waiting]).toEqual([1, 0]);
});

test("one client cannot fill the queue against others: its newest question is refused in their place", async () => {
  const queue = new FairQueue({ runningMax: 1, waitingMax: 3 });
  await queue.enter("many", never);
  const many = [1, 2, 3].map(() => queue.enter("many", never));
  const one = queue.enter("one", never);
  expect(await many[2]).toBe(false);
  expect(await queue.enter("many", never)).toBe(false);
  expect([queue.running, queue.waiting]).toEqual([1, 3]);
  for (const next of [many[0], many[1], one]) {
    queue.leave("many");
    expect(await next).toBe(true);
  }
});
