// The engine's start: the newest checkpoint, what the configuration changes, then the log after the checkpoint. Adapters are opened
// here; what follows from what is decided by admit/applied.ts and checkpoint/recovery.ts.
import { kernelModule } from "../../kernels/modules.ts";
import type { AppliedConfiguration, ControlDraft } from "../admit/applied.ts";
import { must } from "../base/assert.ts";
import { systemClock } from "../base/clock.ts";
import { openDiskFiles } from "../base/disk-files.ts";
import type { Files } from "../base/files.ts";
import {
  olderTablesRefusal,
  recoveryPlan,
  runningReaders,
  type ReaderFacts,
} from "../checkpoint/recovery.ts";
import { SqliteAnswers } from "../checkpoint/sqlite-answers.ts";
import { SqliteClosedParts } from "../checkpoint/sqlite-closed.ts";
import { openCheckpointStore } from "../checkpoint/sqlite-store.ts";
import { Engine } from "../engine.ts";
import type { EngineView } from "../engine-options.ts";
import {
  ADMISSION_READER,
  CONFIGURATION_READER,
  replayLog,
  restoreEngine,
  WINDOWS_READER,
} from "../engine-state.ts";
import { clockRefusal, generationsFolderOf, logFolderOf, statePathOf } from "../log/data-folder.ts";
import { openSqliteLogReader } from "../log/sqlite-log-reader.ts";
import type { ViewOutput } from "../window/output.ts";
import { decideChange } from "./applied.ts";
import type { EngineStart } from "./messages.ts";
import { refuseRetired } from "./retired.ts";
import { SLOTS_BYTES } from "./slots.ts";
import { AdviceError } from "./worker.ts";

export interface StartedEngine {
  readonly engine: Engine;
  readonly applied: AppliedConfiguration;
  /** To be written to the log first. */
  readonly controls: readonly ControlDraft[];
  /** Outputs that no ledger is known to cover: of the checkpoint, and of the replay. */
  readonly outputs: readonly ViewOutput[];
  readonly notices: readonly string[];
  /** Records that were read again. */
  readonly replayed: number;
}

/** Throws AdviceError when the folder's files do not fit each other or the configuration. */
export async function startEngine(start: EngineStart): Promise<StartedEngine> {
  const files = openDiskFiles(start.failpoint);
  const log = openSqliteLogReader(logFolderOf(start.dataFolder), files);
  const store = openCheckpointStore(statePathOf(start.dataFolder), files, start.jobId);
  try {
    const loaded = store.load();
    const positions = new Map(loaded.readers.map(({ name, position }) => [name, position]));
    const bounds = log.bounds();
    refuseUnfit(start, { bounds, positions, running: runningReaders(loaded.readers) });
    const admitted = positions.get(ADMISSION_READER) ?? 0;
    const from = Math.min(admitted, positions.get(WINDOWS_READER) ?? 0);
    const change = decideChange(start, store.reader(CONFIGURATION_READER), log);
    refuseRetired(start, change.before, { loaded, log });
    const engine = await buildEngine(start, files);
    restoreEngine(engine, loaded, viewsOf(start, change.applied));
    for (const { view, output, position } of start.covered)
      engine.windows.covered(view, output, position);
    const receivedAtUs = start.lastReceivedAtUs;
    replayLog(engine, log, { from, admitted, last: bounds.last, receivedAtUs });
    return {
      engine,
      applied: change.applied,
      controls: change.kind === "changed" ? change.controls : [],
      notices: change.kind === "changed" ? change.notices : [],
      outputs: start.views.flatMap(({ name }) => engine.windows.pending(name)),
      replayed: bounds.last - from,
    };
  } finally {
    store.close();
    log.close();
  }
}

/** Refuses files that are not of one moment, and a clock that stands before the log's last record. */
function refuseUnfit(
  start: EngineStart,
  found: {
    readonly bounds: { readonly first: number; readonly last: number };
    readonly positions: ReadonlyMap<string, number>;
    readonly running: ReadonlyMap<string, number>;
  },
): void {
  const clock = clockRefusal(systemClock().nowUs(), start.lastReceivedAtUs);
  if (clock !== null) throw new AdviceError(clock);
  const { bounds, positions, running } = found;
  const covered = start.covered.map(({ position }) => position);
  const readers: ReaderFacts[] = [ADMISSION_READER, WINDOWS_READER].map((name) => ({
    name,
    checkpoint: positions.get(name) ?? null,
    ledger: name === WINDOWS_READER ? Math.max(0, ...covered) : null,
    keepsState: true,
  }));
  for (const { reader, durable } of start.readers)
    // Position 0: nothing was ever exported, because there was nothing or the raw export was off.
    readers.push({
      name: reader,
      checkpoint: running.get(reader) ?? null,
      ledger: durable === 0 ? null : durable,
      keepsState: false,
    });
  for (const { reader, durable } of start.readers) {
    const at = { checkpoint: positions.get(reader) ?? 0, ledger: durable };
    const older = olderTablesRefusal(reader, at);
    if (older !== null) throw new AdviceError(older);
  }
  const decision = recoveryPlan({ log: bounds, hasCheckpoint: positions.size > 0, readers });
  if (decision.kind === "refuse") throw new AdviceError(decision.message);
}

async function buildEngine(start: EngineStart, files: Files): Promise<Engine> {
  const [decode, admit, fold] = await Promise.all([
    kernelModule("decode"),
    kernelModule("admit"),
    kernelModule("fold"),
  ]);
  const key = new DataView(start.idKey.buffer, start.idKey.byteOffset);
  return new Engine({
    modules: { decode, admit, fold },
    generations: { files, path: generationsFolderOf(start.dataFolder) },
    keptAnswers: new SqliteAnswers(statePathOf(start.dataFolder)),
    closedParts: new SqliteClosedParts(statePathOf(start.dataFolder)),
    idKey: { k0: key.getBigUint64(0, true), k1: key.getBigUint64(8, true) },
    streams: start.streams,
    bodiesBytes: SLOTS_BYTES,
  });
}

function viewsOf(start: EngineStart, applied: AppliedConfiguration): EngineView[] {
  return start.views.map((plan) => {
    const { since } = must(applied.views[plan.name], `applied view ${plan.name}`);
    const memoryMaxBytes = start.config.views.find(
      ({ name }) => name === plan.name,
    )?.memoryMaxBytes;
    return { plan, since, memoryMaxBytes: memoryMaxBytes ?? null };
  });
}
