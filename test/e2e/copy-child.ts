// A process that copies a data folder and may be killed at a failpoint: what the savepoint thread, the ship thread and `millrace restore` do, without an instance
// around them, so that it is there in a moment. Arguments: what is to be done, then paths.
import { DiskFiles } from "../../src/base/disk-files.ts";
import { parseFailpointPlans } from "../../src/base/failpoints.ts";
import { restoreSavepoint } from "../../src/savepoint/restore.ts";
import { makeSavepoint } from "../../src/savepoint/savepoint.ts";
import { systemClock } from "../../src/base/clock.ts";
import { S3Store, type StoreTarget } from "../../src/ship/s3-store.ts";
import type { Credentials } from "../../src/ship/signature.ts";
import { lastOf, restoreTo, runShip, writeLog } from "../ship/instance-fixture.ts";

/** Where `ship` and `fetch` find their store: in the environment, as JSON. */
export interface ChildStore {
  readonly target: StoreTarget;
  readonly credentials: Credentials;
}

/** A file system without links, as another one is. */
class NoLinks extends DiskFiles {
  override link(): boolean {
    return false;
  }
}

/** Records that `ship` appends between two shipments, and how often: the first shipments are removed in the end. */
const RECORDS = 10;
const ROUNDS = 4;

const [what = "", from = "", to = "", jobId = ""] = process.argv.slice(2);
const plan = process.env["MILLRACE_FAILPOINT"];
const plans = plan === undefined ? [] : parseFailpointPlans(plan);
const files = what === "copy" ? new NoLinks(...plans) : new DiskFiles(...plans);

function openStore(): S3Store {
  const { target, credentials } = JSON.parse(process.env["STORE"] ?? "") as ChildStore;
  const { signal } = new AbortController();
  return new S3Store({ target, credentials, clock: systemClock(), signal });
}

/** Ships the folder while its log grows, and says each position that it is told. */
async function ship(): Promise<void> {
  const running = runShip(from, openStore(), { files, intervalUs: 1000 });
  let said = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const last = lastOf(from) + RECORDS;
    writeLog(from, last);
    await running.until(({ position, shipment }) => {
      if (position > said) process.stdout.write(`${(said = position)}\n`);
      return position >= last && (shipment?.position ?? 0) >= last;
    });
  }
  await running.stop();
}

switch (what) {
  case "link":
  case "copy":
    await makeSavepoint(
      {
        to,
        dataFolder: from,
        jobId,
        hashKey: new Uint8Array(16),
        configurationText: "{}",
        logFileSizeBytes: 1024 * 1024,
        millrace: "test",
        madeAt: "2026-11-22T00:00:00.000Z",
      },
      {
        files,
        freeze: () => Promise.resolve(),
        thaw: () => {},
        pause: () => Promise.resolve(),
        tell: () => {},
      },
    );
    break;
  case "restore":
    await restoreSavepoint({ from, dataFolder: to, files, tell: () => {} });
    break;
  case "fetch":
    await restoreTo(to, openStore(), files);
    break;
  case "ship":
    await ship();
    break;
}
