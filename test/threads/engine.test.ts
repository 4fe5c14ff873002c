// The engine's thread while the disk is slow: what it takes in before records are durable, and how it stops.
import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { buildKernels } from "../../kernels/build.ts";
import { IN_FLIGHT_REJECT_BYTES_MAX } from "../../src/engine-in-flight.ts";
import { RECORD_REJECT_BYTES_MAX, SLOT_COUNT } from "../../src/limits.ts";
import { LARGE_SLOT } from "../../src/threads/slots.ts";
import { temporaryFolder } from "../e2e/appliance.ts";
import { EngineThread } from "./engine-thread.ts";

setDefaultTimeout(60_000);
await buildKernels();
let folder: ReturnType<typeof temporaryFolder>;
let thread: EngineThread;
beforeEach(async () => {
  folder = temporaryFolder();
  thread = await EngineThread.start(folder.path);
});
afterEach(() => {
  thread.dispose();
  folder.dispose();
});

/** So many events of 64 KB without any member of the schema. */
const bad = (events: number): string =>
  `${JSON.stringify({ x: "x".repeat(64_000) })}\n`.repeat(events);

/** Bytes of events in dead letters on their way to the log. */
const deadBytes = (): number =>
  thread.toLog
    .flatMap((message) => (message.kind === "events" ? message.rejects : []))
    .reduce((sum, { raw }) => sum + raw.length, 0);

test("bodies whose events are all refused stay in their slots while too many wait for the disk", async () => {
  const bodies = SLOT_COUNT + 1;
  for (let slot = 0; slot < SLOT_COUNT; slot++) thread.submit(slot, bad(16));
  thread.submit(LARGE_SLOT, bad(200));
  const all = bad(16 * SLOT_COUNT + 200).length - 16 * SLOT_COUNT - 200;
  expect(all).toBeGreaterThan(IN_FLIGHT_REJECT_BYTES_MAX + RECORD_REJECT_BYTES_MAX);
  for (let trips = 0; trips < 100 && thread.emptied < bodies; trips++) await thread.roundTrip();
  expect(thread.emptied).toBeLessThan(bodies);
  expect(deadBytes()).toBeLessThan(IN_FLIGHT_REJECT_BYTES_MAX + RECORD_REJECT_BYTES_MAX);
  // the disk goes on
  await thread.until(() => {
    thread.durable(thread.written);
    return thread.emptied === bodies ? true : undefined;
  });
  await thread.until(() => (deadBytes() === all ? true : undefined));
});

test("a stop ends when the bodies that waited for the disk have no events", async () => {
  for (let slot = 0; slot < SLOT_COUNT; slot++) thread.submit(slot, bad(16));
  thread.submit(LARGE_SLOT, bad(30));
  await thread.until(() => (thread.emptied > SLOT_COUNT ? true : undefined));
  await thread.until(() => (deadBytes() > IN_FLIGHT_REJECT_BYTES_MAX ? true : undefined));
  thread.submit(0, "\n\n");
  thread.tell({ kind: "stop" });
  await thread.roundTrip();
  expect(thread.toMain.some(({ kind }) => kind === "empty")).toBe(false);
  thread.durable(thread.written);
  await thread.main("empty");
  await thread.until(() => thread.toExport.find(({ kind }) => kind === "checkpoint"));
  thread.tellExport({ kind: "checkpointed" });
  await thread.main("stopped");
});
