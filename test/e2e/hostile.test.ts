// Hundreds of clients that nobody wants, on real sockets: slow heads and bodies, half requests, heads without an end, answers that nobody takes. Others are served meanwhile,
// memory stays within its bound, and what the clients held is given back.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { LoadBody } from "../../bench/load-body.ts";
import { buildKernels } from "../../kernels/build.ts";
import { HostileClients, KINDS } from "../soak/hostile.ts";
import { measure, noPeaks, type Peaks } from "../soak/measure.ts";
import { Appliance, temporaryFolder } from "./appliance.ts";

setDefaultTimeout(180_000);

const CONFIG = join(import.meta.dir, "..", "..", "bench", "clicks.yaml");
/** Of each kind: of those that ask, fewer than may wait (QUERY_WAITING_MAX). */
const HOSTILE = 60;
/** Bodies that neighbours send meanwhile. */
const BODIES = 40;
/** More than before they came: a question's answer may wait in DuckDB's process and in tunnels. */
const MEMORY_MB_MORE = 400;
/** Connections of this test itself, and a log file or two. */
const OPEN_FILES_MORE = 20;

const folder = temporaryFolder();
const hostile = new HostileClients();
let appliance: Appliance;
beforeAll(async () => {
  await buildKernels();
  const data = join(folder.path, "data");
  appliance = await Appliance.start({ config: CONFIG, data });
});
afterAll(() => {
  hostile.leave();
  appliance?.process.kill("SIGKILL");
  folder.dispose();
});

function now(): Peaks {
  const peaks = noPeaks();
  measure(appliance.process.pid, folder.path, peaks);
  return peaks;
}

async function until(what: string, isThere: () => boolean): Promise<void> {
  for (let waited = 0; waited < 600; waited++) {
    if (isThere()) return;
    await Bun.sleep(100);
  }
  throw new Error(`a minute without ${what}: ${JSON.stringify(now())}`);
}

test(`${KINDS.length * HOSTILE} hostile clients take nothing from others`, async () => {
  const body = LoadBody.make({ seed: 9, events: 100, users: 100, categories: 5 });
  const send = async (sequence: number): Promise<void> => {
    body.stamp(sequence, Date.now());
    expect((await appliance.post(body.bytes)).status).toBe(200);
  };
  await send(0);
  await appliance.rows("SELECT count(*) FROM clicks");
  const before = now();
  hostile.come(appliance.address, HOSTILE);
  await until("connections", () => now().openFiles > before.openFiles + HOSTILE);
  const peaks = noPeaks();
  for (let sequence = 1; sequence <= BODIES; sequence++) {
    await send(sequence);
    measure(appliance.process.pid, folder.path, peaks);
  }
  // heads without an end are refused; what is slow is waited for
  await until("endless heads thrown out", () => hostile.connected <= (KINDS.length - 1) * HOSTILE);
  expect(hostile.connected).toBeGreaterThanOrEqual(2 * HOSTILE);
  const { rows } = await appliance.rows("SELECT count(*) FROM clicks");
  expect(Number(rows[0]?.[0])).toBe((BODIES + 1) * 100);
  measure(appliance.process.pid, folder.path, peaks);
  expect(peaks.parentMb).toBeLessThan(before.parentMb + MEMORY_MB_MORE);
  hostile.leave();
  await until("open files back", () => now().openFiles <= before.openFiles + OPEN_FILES_MORE);
  await send(BODIES + 1);
  expect(await appliance.stop()).toBe(0);
});
