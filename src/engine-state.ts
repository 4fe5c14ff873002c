// The engine's state as a checkpoint, and back: what is saved of admission, views and the applied configuration, and how a start puts it
// together again with the log behind it. Names the readers in a checkpoint; knows nothing of where it is kept.
import type { AppliedConfiguration } from "./admit/applied.ts";
import { assert, must } from "./base/assert.ts";
import { lastOf } from "./base/steps.ts";
import { FOLD_PAGE_BYTES } from "../kernels/abi.ts";
import type { CheckpointChange, LoadedCheckpoint, StatePage } from "./checkpoint/store.ts";
import { decodeGenerations } from "./admit/seal-plan.ts";
import { GENERATIONS_READER } from "./checkpoint/sealer.ts";
import type { Engine } from "./engine.ts";
import type { EngineView } from "./engine-options.ts";
import { PENDING_OUTPUT_BYTES_MAX, REPLAY_READ_BYTES } from "./limits.ts";
import type { LogReader } from "./log/log.ts";
import type { PageRoom } from "./window/saved-pages.ts";

/** Names of readers in a checkpoint. */
export const ADMISSION_READER = "admission";
export const CONFIGURATION_READER = "configuration";
export const WINDOWS_READER = "windows";
const ACCOUNTING_READER = "accounting";

/** Name of the fold memory's pages in a checkpoint. */
const FOLD_SPACE = "fold";

/** Pages of the fold memory that lie one after the other in rooms, as a checkpoint names them. */
export function foldPages(packed: {
  readonly numbers: Uint32Array;
  readonly rooms: readonly SharedArrayBuffer[];
}): StatePage[] {
  return Array.from(packed.numbers, (page, n) => ({
    space: FOLD_SPACE,
    page,
    bytes: roomOf(must(packed.rooms[Math.floor(n / ROOM_PAGES)], "a room"), n),
  }));
}

/** Pages of one room: 4 MB, a millisecond to get. */
export const ROOM_PAGES = 256;

/** The place of the n-th page of a checkpoint in the room that it falls into. */
export function roomOf(room: SharedArrayBuffer, n: number): Uint8Array {
  return new Uint8Array(room, (n % ROOM_PAGES) * FOLD_PAGE_BYTES, FOLD_PAGE_BYTES);
}

/**
 * What changed since the change before; it must not get lost. Admission may be ahead of the log: the change is saved only once
 * `engine.lastPosition` of the first step is durable. By steps: between them events may be admitted, but nothing is folded and no window is
 * looked at.
 */
export function* checkpointSteps(
  engine: Engine,
  applied: AppliedConfiguration,
  room: PageRoom,
): Generator<void, CheckpointChange> {
  const { admission, windows, lastPosition, folded } = engine;
  const ids = admission.takeDelta(lastPosition);
  const expiredSegments = admission.expiredIds(engine.lastReceivedAtUs);
  const answers = engine.answers.takeChange(engine.lastReceivedAtUs);
  const views = yield* windows.checkpointSteps(room);
  assert(engine.folded === folded, "nothing is folded while a checkpoint is taken");
  const configuration = new TextEncoder().encode(JSON.stringify(applied));
  return {
    readers: [
      { name: ADMISSION_READER, position: lastPosition, body: ids.body },
      { name: CONFIGURATION_READER, position: lastPosition, body: configuration },
      { name: WINDOWS_READER, position: folded, body: views.body },
      { name: ACCOUNTING_READER, position: folded, body: engine.accounting.body() },
    ],
    removedReaders: [],
    pages: views.pages.map((page) => ({ space: FOLD_SPACE, ...page })),
    freedPages: views.freed.map((page) => ({ space: FOLD_SPACE, page })),
    outputs: views.outputs,
    coveredOutputs: views.covered,
    segments: ids.segments,
    expiredSegments,
    sealedSegments: [],
    closedParts: views.closedParts,
    droppedParts: views.droppedParts,
    ...answers,
  };
}

/** All steps of a checkpoint at once, into memory of its own. */
export function checkpointChange(engine: Engine, applied: AppliedConfiguration): CheckpointChange {
  return lastOf(checkpointSteps(engine, applied, () => new Uint8Array(FOLD_PAGE_BYTES)));
}

/** Puts the checkpoint back, if there is one, and adds the views. */
export function restoreEngine(
  engine: Engine,
  loaded: LoadedCheckpoint,
  views: readonly EngineView[],
): void {
  const bodyOf = (name: string): Uint8Array | null =>
    loaded.readers.find((reader) => reader.name === name)?.body ?? null;
  const windows = bodyOf(WINDOWS_READER);
  const restored =
    windows === null
      ? []
      : engine.windows.restore(loaded.pages, windows, loaded.outputs, loaded.closedWindows);
  const accounting = bodyOf(ACCOUNTING_READER);
  if (accounting !== null) engine.accounting.restore(accounting);
  engine.addViews(
    views,
    restored.map(({ name }) => name),
  );
  const { generations } = decodeGenerations(bodyOf(GENERATIONS_READER));
  for (const name of new Set(generations.map(({ stream }) => stream)))
    engine.admission.setGenerations(
      name,
      generations.filter(({ stream }) => stream === name),
      null,
    );
  const admission = bodyOf(ADMISSION_READER);
  if (admission !== null) engine.admission.restore(admission, segmentBytes(loaded));
}

function* segmentBytes(loaded: LoadedCheckpoint): Generator<Uint8Array> {
  for (const { bytes } of loaded.segments) yield bytes;
}

/**
 * Repeats the log after position `from`, which the views have folded; admission's checkpoint contains it up to `admitted`. What the views
 * put out stays pending in `windows`; when it has reached its bound, or closed windows wait for a checkpoint to leave memory, they fold no
 * further, and the rest is the backlog's. Throws as LogReader does.
 */
export function replayLog(
  engine: Engine,
  log: LogReader,
  at: {
    readonly from: number;
    readonly admitted: number;
    readonly last: number;
    readonly receivedAtUs: number;
    readonly outputBytesMax?: number;
  },
): void {
  const outputBytesMax = at.outputBytesMax ?? PENDING_OUTPUT_BYTES_MAX;
  engine.resumeAt({ last: at.last, folded: at.from, receivedAtUs: 0 });
  let isFolding = true;
  for (let position = at.from + 1; ;) {
    const records = log.read(position, REPLAY_READ_BYTES);
    for (const record of records) {
      engine.replay(record, at.admitted);
      const { pendingBytes, closedWindows } = engine.windows;
      isFolding &&= pendingBytes < outputBytesMax && !closedWindows.isFull;
      if (isFolding) engine.foldRecord(record);
    }
    const last = records.at(-1);
    if (last === undefined) break;
    position = last.position + 1;
  }
  engine.resumeAt({ last: at.last, folded: engine.folded, receivedAtUs: at.receivedAtUs });
}
