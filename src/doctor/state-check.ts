// Verb: state.db and the sealed ids that it names -> whether both are whole.
import { counted } from "../base/counted.ts";
import { join } from "node:path";
import { decodeSegment, decodeState } from "../admit/checkpoint.ts";
import { openGeneration, type GenerationInfo } from "../admit/generation.ts";
import { decodeGenerations } from "../admit/seal-plan.ts";
import { runningReaders } from "../checkpoint/recovery.ts";
import { GENERATIONS_READER } from "../checkpoint/sealer.ts";
import { SqliteClosedParts } from "../checkpoint/sqlite-closed.ts";
import { readCheckpointStore } from "../checkpoint/sqlite-store.ts";
import type { CheckpointStore, LoadedCheckpoint } from "../checkpoint/store.ts";
import { ADMISSION_READER } from "../engine-state.ts";
import { generationsFolderOf, statePathOf } from "../log/data-folder.ts";
import type { ClosedWindow } from "../window/closed-part.ts";
import type { Place } from "./place.ts";
import { Findings, reasonOf, type Check } from "./report.ts";

/** What the checkpoint says. */
export interface StateFacts {
  readonly positions: ReadonlyMap<string, number>;
  /** Of the readers that ran when it was saved. */
  readonly running: ReadonlyMap<string, number>;
  /** Null: the list is not readable. */
  readonly generations: readonly GenerationInfo[] | null;
}

/** Buckets of sealed ids that are read at a time: 4 MB of entries. */
const BUCKETS_PER_READ = 1024;

/** Checks the checkpoint; `facts` null = it cannot be read. */
export function checkState(place: Place): {
  readonly check: Check;
  readonly facts: StateFacts | null;
} {
  const { files, folder, jobId } = place;
  const findings = new Findings("state");
  let store: CheckpointStore | null;
  try {
    store = readCheckpointStore(statePathOf(folder), files, jobId);
  } catch (error) {
    findings.damaged(reasonOf(error));
    return { check: findings.check("the checkpoint cannot be read"), facts: null };
  }
  if (store === null) {
    const none = new Map<string, number>();
    const facts = { positions: none, running: none, generations: [] };
    return { check: findings.check("no checkpoint was saved yet"), facts };
  }
  try {
    const loaded = findings.try(() => store.load());
    if (loaded === null)
      return { check: findings.check("the checkpoint cannot be read"), facts: null };
    const said = readAll(loaded, { path: statePathOf(folder), findings });
    const readers = new Map(loaded.readers.map((reader) => [reader.name, reader]));
    findings.try(() => {
      const admission = readers.get(ADMISSION_READER);
      if (admission !== undefined) decodeState(admission.body);
    });
    const list = findings.try(() =>
      decodeGenerations(readers.get(GENERATIONS_READER)?.body ?? null),
    );
    const positions = new Map(loaded.readers.map(({ name, position }) => [name, position]));
    return {
      check: findings.check(said),
      facts: {
        positions,
        running: runningReaders(loaded.readers),
        generations: list?.generations ?? null,
      },
    };
  } finally {
    store.close();
  }
}

/** Reads everything once: a checksum for each page, segment, output, part and answer. */
function readAll(
  loaded: LoadedCheckpoint,
  { path, findings }: { readonly path: string; readonly findings: Findings },
): string {
  let pages = 0;
  let segments = 0;
  findings.try(() => {
    for (const page of loaded.pages) if (page.bytes.length > 0) pages++;
  });
  findings.try(() => {
    for (const segment of loaded.segments) {
      decodeSegment(segment.bytes);
      segments++;
    }
  });
  let answers = 0;
  findings.try(() => {
    for (const _ of loaded.answers) answers++;
  });
  const parts = findings.try(() => closedParts(path, loaded.closedWindows)) ?? 0;
  const counts = [
    counted(loaded.readers.length, "reader"),
    counted(pages, "page"),
    `${counted(segments, "segment")} of ids`,
    counted(loaded.outputs.length, "output"),
    `${counted(parts, "part")} of closed windows`,
    `${counted(answers, "answer")} of Idempotency-Keys`,
  ];
  return counts.join(", ");
}

function closedParts(path: string, windows: readonly ClosedWindow[]): number {
  if (windows.length === 0) return 0;
  const stored = new SqliteClosedParts(path);
  try {
    let count = 0;
    for (const { view, startUs, bits } of windows)
      for (let part = 0; part < 2 ** bits; part++)
        if (stored.closedPart(view, startUs, part) !== null) count++;
    return count;
  } finally {
    stored.close();
  }
}

/** Checks the files of sealed ids: that they are there and whole; every entry when `isDeep`. */
export function checkIds(place: Place, generations: readonly GenerationInfo[]): Check {
  const { files, isDeep } = place;
  const findings = new Findings("ids");
  const folder = generationsFolderOf(place.folder);
  let ids = 0;
  for (const [index, info] of generations.entries()) {
    findings.try(() => checkGeneration(place, folder, info));
    ids += info.ids;
    if (isDeep) place.progress(`ids: ${index + 1} of ${counted(generations.length, "file")}`);
  }
  const named = new Set(generations.map(({ file }) => file));
  const leftovers = files.list(folder).filter((file) => !named.has(file));
  if (leftovers.length > 0)
    findings.note(
      `${counted(leftovers.length, "file")} that no checkpoint names: the next start removes them`,
      leftovers.map((name) => ({
        kind: "remove" as const,
        path: join(folder, name),
        why: "no checkpoint names it",
      })),
    );
  return findings.check(`${counted(ids, "sealed id")} in ${counted(generations.length, "file")}`);
}

function checkGeneration({ files, isDeep }: Place, folder: string, info: GenerationInfo): void {
  const generation = openGeneration(files, folder, info, isDeep ? "filter" : "none");
  try {
    if (!isDeep) return;
    const buckets = 2 ** generation.bits;
    for (let first = 0; first < buckets; first += BUCKETS_PER_READ)
      generation.read(first, Math.min(buckets, first + BUCKETS_PER_READ));
  } finally {
    generation.close();
  }
}
