// The client of a running appliance reads what comes over a real connection, however it is cut.
import { expect, test } from "bun:test";
import { Client } from "../../src/serve/client.ts";

const RANGE = { view: "größe_€", fromUs: 0n, toUs: 60_000_000n, isDry: false };

/** What `reconcile` gives, and what it told, when the answer comes in pieces of one byte. */
async function reconciled(lines: readonly object[]): Promise<readonly unknown[]> {
  const bytes = new TextEncoder().encode(lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  const server = Bun.serve({
    port: 0,
    fetch: () =>
      new Response(
        new ReadableStream({
          async start(controller) {
            for (const byte of bytes) {
              controller.enqueue(Uint8Array.of(byte));
              await Bun.sleep(0);
            }
            controller.close();
          },
        }),
      ),
  });
  try {
    const told: unknown[] = [];
    const client = new Client(`http://127.0.0.1:${server.port}`, null);
    const report = await client.reconcile(RANGE, (progress) => told.push(progress));
    return [told, report];
  } finally {
    await server.stop(true);
  }
}

test("lines whose characters are cut between two pieces of the answer", async () => {
  const progress = { lateEventsDone: 1, lateEventsAll: 2 };
  const report = { view: RANGE.view, windows: 2, skipped: [{ why: "zu spät – „€“ 🕰" }] };
  expect(
    await reconciled([{ progress: { late_events_done: 1, late_events_all: 2 } }, { report }]),
  ).toEqual([[progress], report]);
});

test("a problem is thrown with its text", async () => {
  await expect(reconciled([{ problem: { detail: "ungültig: ½ 🕰" } }])).rejects.toThrow(
    "ungültig: ½ 🕰",
  );
});
