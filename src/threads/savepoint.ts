// The savepoint thread: lives for one savepoint, so that its reading and hashing is on nobody's way. Wiring: what is done is src/savepoint's.
import { systemClock } from "../base/clock.ts";
import { openDiskFiles } from "../base/disk-files.ts";
import { SavepointError } from "../savepoint/manifest.ts";
import { makeSavepoint } from "../savepoint/savepoint.ts";
import type { FromSavepoint, ToSavepoint } from "./messages.ts";

declare const self: Worker;

/** Longest rest between two pieces: a slow disk is not made slower than half. */
const PAUSE_MS_MAX = 100;

const tell = (message: FromSavepoint): void => self.postMessage(message);
const frozen = Promise.withResolvers<void>();
let isGivenUp = false;

function refuseGivenUp(): void {
  if (isGivenUp)
    throw new SavepointError(
      "Millrace was stopped: the savepoint was given up, what was written of it was removed",
    );
}

async function run({ order, failpoint }: Extract<ToSavepoint, { kind: "order" }>): Promise<void> {
  const clock = systemClock();
  let sinceUs = clock.monotonicUs();
  const report = await makeSavepoint(order, {
    files: openDiskFiles(failpoint),
    freeze: () => {
      tell({ kind: "freeze" });
      return frozen.promise;
    },
    thaw: () => tell({ kind: "thaw" }),
    pause: async () => {
      // as long as the piece took: at most half of a core and of the disk, the rest is ingest's
      const tookMs = (clock.monotonicUs() - sinceUs) / 1000;
      await Bun.sleep(Math.min(tookMs, PAUSE_MS_MAX));
      sinceUs = clock.monotonicUs();
      refuseGivenUp();
    },
    tell: (progress) => tell({ kind: "progress", progress }),
  });
  tell({ kind: "done", report });
}

self.onmessage = ({ data }: MessageEvent<ToSavepoint>) => {
  if (data.kind === "frozen") return frozen.resolve();
  if (data.kind === "give up") isGivenUp = true;
  else
    run(data).catch((error: unknown) => {
      const isTheirs = error instanceof SavepointError;
      const message = error instanceof Error && !isTheirs ? error.stack : null;
      tell({ kind: "failed", message: message ?? (error as Error).message, isTheirs });
    });
  return undefined;
};
