// The ship thread: lives as long as the process, so that what it reads, hashes, compresses and sends is on nobody's way. Wiring: what is done is src/ship's.
import { systemClock, wallClock } from "../base/clock.ts";
import { openDiskFiles } from "../base/disk-files.ts";
import { ShipRun } from "../ship/run.ts";
import { S3Store } from "../ship/s3-store.ts";
import type { FromShip, ToShip } from "./ship-messages.ts";

declare const self: Worker;

/** Longest rest between two pieces: a slow disk is not made slower than half. */
const PAUSE_MS_MAX = 100;

const tell = (message: FromShip): void => self.postMessage(message);
const noMore = new AbortController();
const finish = new AbortController();
let frozen = Promise.withResolvers<void>();

async function run({ order, failpoint }: Extract<ToShip, { kind: "order" }>): Promise<void> {
  const clock = systemClock();
  const never = new AbortController();
  const { target, credentials } = order;
  // a clock that was wrong and is right again signs right at once
  const to = { target, credentials, clock: wallClock() };
  let sinceUs = clock.monotonicUs();
  await new ShipRun(order, {
    files: openDiskFiles(failpoint),
    stores: {
      log: new S3Store({ ...to, signal: never.signal }),
      shipments: new S3Store({ ...to, signal: noMore.signal }),
    },
    clock,
    freeze: () => {
      frozen = Promise.withResolvers();
      tell({ kind: "freeze" });
      return frozen.promise;
    },
    thaw: () => tell({ kind: "thaw" }),
    letGo: () => tell({ kind: "let go" }),
    rest: async () => {
      // as long as the piece took: at most half of a core and of the disk, the rest is ingest's
      const tookMs = (clock.monotonicUs() - sinceUs) / 1000;
      await Bun.sleep(Math.min(tookMs, PAUSE_MS_MAX));
      sinceUs = clock.monotonicUs();
    },
    noMore: noMore.signal,
    finish: finish.signal,
    tell: (status) => tell({ kind: "status", status }),
    notice: (text) => tell({ kind: "notice", text }),
  }).run();
  tell({ kind: "finished" });
}

self.onmessage = ({ data }: MessageEvent<ToShip>) => {
  switch (data.kind) {
    case "order":
      return void run(data).catch((error: unknown) => {
        const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
        tell({ kind: "failed", message });
      });
    case "frozen":
      return frozen.resolve();
    case "no more":
      return noMore.abort();
    case "finish":
      return finish.abort();
  }
};
