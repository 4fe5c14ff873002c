// Sealing: ids that memory should not hold any longer go from the checkpoint's segments into generations on disk, small generations are merged,
// and those that no lookup can ask for any more are dropped. Runs beside the checkpoint store, in its thread, a bounded step at a time.
// The list of generations is a reader of the checkpoint, so it changes in one transaction with the segments that went into them.
import { unreachable } from "../base/assert.ts";
import { ENTRY_BYTES, type GenerationInfo, type GenerationParts } from "../admit/generation.ts";
import {
  decodeGenerations,
  encodeGenerations,
  sealDecision,
  type GenerationList,
  type SealDecision,
} from "../admit/seal-plan.ts";
import type { Files } from "../base/files.ts";
import { MergeJob, SealJob, type GenerationJob, type Made } from "./seal-jobs.ts";
import {
  NO_CHANGE,
  type CheckpointChange,
  type CheckpointStore,
  type ReaderCheckpoint,
} from "./store.ts";

/** Name of the list of generations among a checkpoint's readers. It has no position of its own: what it says holds at any. */
export const GENERATIONS_READER = "generations";

/** A stream whose ids are sealed. */
export interface SealedStream {
  readonly name: string;
  readonly dedupTtlUs: number;
  readonly idsMax: number;
  readonly diskBytesMax: number;
}

/** The list of a stream's generations has changed: admission takes it over, then `taken` is called. */
export interface GenerationsChange {
  readonly stream: string;
  /** Oldest first. */
  readonly generations: readonly GenerationInfo[];
  /** The one that is new. */
  readonly made: GenerationParts | null;
}

/** What keeps a stream's ids from being sealed; null = nothing. */
export type SealProblem = { readonly stream: string; readonly message: string };

/** Steps of `step` that are passed over after the disk was full. */
const STEPS_AFTER_FAILURE = 40;

export class Sealer {
  readonly #files: Files;
  readonly #folder: string;
  readonly #store: CheckpointStore;
  readonly #streams: readonly SealedStream[];
  #list: GenerationList;
  #job: GenerationJob | null = null;
  /** A change was given out that admission has not taken over yet: it may still read the files that it replaces. */
  #isTaken = true;
  #garbage: string[] = [];
  #pause = 0;
  #problem: SealProblem | null = null;
  /** Streams whose checkpoint may hold enough to seal: asked for once after each checkpoint and each change. */
  #isLooking = true;

  /** `folder` exists or is made; files in it that the checkpoint does not name are removed: an interrupted run left them. */
  constructor(
    place: { files: Files; folder: string },
    store: CheckpointStore,
    streams: readonly SealedStream[],
  ) {
    this.#files = place.files;
    this.#folder = place.folder;
    this.#store = store;
    this.#streams = streams;
    this.#list = decodeGenerations(store.reader(GENERATIONS_READER)?.body ?? null);
    this.#files.makeFolder(this.#folder);
    const named = new Set(this.#list.generations.map(({ file }) => file));
    this.#garbage = this.#files.list(this.#folder).filter((file) => !named.has(file));
    this.#sweep();
  }

  /** Why ids are not sealed though they should be, or null. */
  get problem(): SealProblem | null {
    return this.#problem;
  }

  /** Bytes of all generations. */
  get bytes(): number {
    return this.#list.generations.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Saves an engine's checkpoint, and with it drops the generations that have expired. Returns the changes to tell admission. */
  save(change: CheckpointChange): GenerationsChange[] {
    const limits = new Map(
      change.expiredSegments.map(({ stream, beforeUs }) => [stream, beforeUs]),
    );
    const isGone = ({ stream, newestMs }: GenerationInfo): boolean =>
      newestMs * 1000 < (limits.get(stream) ?? 0);
    const gone = this.#list.generations.filter(isGone);
    this.#isLooking = true;
    // an input of a merge stays until the merge has ended
    if (gone.length === 0 || this.#job !== null || !this.#isTaken) {
      this.#store.save(change);
      return [];
    }
    const generations = this.#list.generations.filter((one) => !isGone(one));
    const list = { ...this.#list, generations };
    this.#store.save({ ...change, readers: [...change.readers, readerOf(list)] });
    this.#list = list;
    this.#garbage.push(...gone.map(({ file }) => file));
    this.#isTaken = false;
    return [...new Set(gone.map(({ stream }) => stream))].map((stream) =>
      this.#changeOf(stream, null),
    );
  }

  /** Admission has taken over all changes that were given out: files that nothing names any more are unlinked. */
  taken(): void {
    this.#isTaken = true;
    this.#isLooking = true;
    this.#sweep();
  }

  /** One bounded step; null = nothing has changed. `isBusy` says whether another step should follow soon. */
  step(): GenerationsChange | null {
    if (!this.#isTaken) return null;
    if (this.#pause > 0) {
      this.#pause--;
      return null;
    }
    try {
      this.#job ??= this.#begin();
      const made = this.#job?.step() ?? null;
      return made === null ? null : this.#finish(made);
    } catch (error) {
      this.#fail(error);
      return null;
    }
  }

  get isBusy(): boolean {
    return this.#job !== null && this.#isTaken && this.#pause === 0;
  }

  /** Gives up what is under way; what it wrote is removed. */
  close(): void {
    this.#job?.abandon();
    this.#job = null;
  }

  #begin(): GenerationJob | null {
    if (!this.#isLooking) return null;
    this.#isLooking = false;
    this.#problem = null;
    for (const stream of this.#streams) {
      const job = this.#jobFor(stream, this.#decide(stream));
      if (job === null) continue;
      this.#isLooking = true;
      return job;
    }
    return null;
  }

  #decide(stream: SealedStream): SealDecision {
    return sealDecision({
      idsMax: stream.idsMax,
      storedIds: Math.floor(this.#store.segmentBytes(stream.name) / ENTRY_BYTES),
      generations: this.#of(stream.name),
      ttlMs: stream.dedupTtlUs / 1000,
      diskBytesMax: stream.diskBytesMax,
      freeBytes: this.#files.freeBytes(this.#folder),
    });
  }

  #jobFor(stream: SealedStream, decision: SealDecision): GenerationJob | null {
    const { next } = this.#list;
    const file = `${String(next).padStart(12, "0")}.ids`;
    const place = { files: this.#files, folder: this.#folder, file };
    switch (decision.kind) {
      case "none":
        return null;
      case "full":
        this.#problem = { stream: stream.name, message: fullMessage(stream.name, decision.reason) };
        return null;
      case "seal":
        this.#list = { ...this.#list, next: next + 1 };
        return new SealJob(place, this.#store, { stream: stream.name, ids: decision.ids });
      case "merge":
        this.#list = { ...this.#list, next: next + 1 };
        return new MergeJob(place, decision.inputs);
      default:
        return unreachable(decision);
    }
  }

  /** The new generation becomes the checkpoint's, and what it replaces leaves it, in one transaction. */
  #finish({ parts, through, replaced }: Made): GenerationsChange {
    this.#job = null;
    const { stream } = parts.info;
    const gone = new Set(replaced.map(({ file }) => file));
    const at = this.#list.generations.findIndex(({ file }) => gone.has(file));
    const generations = this.#list.generations.filter(({ file }) => !gone.has(file));
    generations.splice(at === -1 ? generations.length : at, 0, parts.info);
    const list = { ...this.#list, generations };
    this.#store.save({
      ...NO_CHANGE,
      readers: [readerOf(list)],
      sealedSegments: through > 0 ? [{ stream, through }] : [],
    });
    this.#list = list;
    this.#garbage.push(...gone);
    this.#isTaken = false;
    return this.#changeOf(stream, parts);
  }

  /** A full disk is met by trying again later; ids stay in memory meanwhile. Everything else ends the process. */
  #fail(error: unknown): void {
    const stream = this.#job?.stream ?? "";
    this.close();
    if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
    this.#problem = { stream, message: fullMessage(stream, "disk") };
    this.#pause = STEPS_AFTER_FAILURE;
    this.#isLooking = true;
  }

  #of(stream: string): GenerationInfo[] {
    return this.#list.generations.filter((one) => one.stream === stream);
  }

  #changeOf(stream: string, made: GenerationParts | null): GenerationsChange {
    return { stream, generations: this.#of(stream), made };
  }

  #sweep(): void {
    for (const file of this.#garbage.splice(0))
      this.#files.unlink(`${this.#folder}/${file}`, "checkpoint.seal.unlink");
  }
}

function readerOf(list: GenerationList): ReaderCheckpoint {
  return { name: GENERATIONS_READER, position: 0, body: encodeGenerations(list) };
}

function fullMessage(stream: string, reason: "dedup_disk_max" | "disk"): string {
  return reason === "disk"
    ? `event ids of stream ${stream} cannot be sealed: the disk is nearly full. Make room; until then its events are answered 503 once dedup_ids_max is reached`
    : `event ids of stream ${stream} cannot be sealed: dedup_disk_max is reached. Raise it or lower dedup_ttl; until then its events are answered 503 once dedup_ids_max is reached`;
}
