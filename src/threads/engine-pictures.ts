// The engine's pictures: what views looked like at one position, as images in files that questions read. Images are made by slices; where
// that takes more than one, nothing is folded meanwhile, so that all of it is of one position: events go on to be admitted and logged, and are
// folded from the log afterwards. Files are written while folding goes on. Who asks for pictures, and who gets them, is in engine-pins.ts.
import { join } from "node:path";
import { must } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import type { Engine } from "../engine.ts";
import type { EngineBacklog } from "../engine-backlog.ts";
import { PICTURE_PAUSE_US_MAX } from "../limits.ts";
import { tmpFolderOf } from "../log/data-folder.ts";
import { ImageFiles, type NamedImage } from "../query/image-files.ts";
import type { PinnedChange } from "../query/pin.ts";
import type { Accounts } from "../reader/accounting.ts";
import type { Coverage } from "../table/exporter.ts";
import type { ViewOutput } from "../window/output.ts";
import type { RecordedRange } from "../window/reconciled.ts";
import type { LongestSteps } from "./engine-status.ts";
import type { EngineViewPin } from "./messages.ts";
import { takeSlice } from "./slices.ts";

/** What all views looked like at one position. Made view by view, as they are asked for. */
export interface Picture {
  readonly position: number;
  readonly views: ReadonlyMap<string, EngineViewPin>;
  readonly accounts: Accounts;
  readonly reconciled: readonly RecordedRange[];
}

/** What pictures are connected with. */
export interface PictureWires {
  readonly backlog: EngineBacklog;
  readonly clock: Clock;
  readonly longest: LongestSteps;
  readonly dataFolder: string;
  /** Runs a step after what has come meanwhile. */
  readonly later: (step: () => void) => void;
  /** Folding goes on. */
  readonly resumed: () => void;
}

/** A picture whose images are not in files yet; `known`: views that were in the one before, at the same position. */
interface Taken extends Omit<Picture, "views"> {
  readonly known: Picture["views"];
  readonly views: readonly TakenView[];
}

interface TakenView extends Pick<
  EngineViewPin,
  "view" | "rowsEpoch" | "lateEpoch" | "watermarkUs"
> {
  readonly rows: readonly NamedImage[];
  readonly changes: readonly Pick<HeldImage, keyof NamedImage | "op">[];
  readonly late: readonly NamedImage[];
}

/** Who waits for a picture: it is there, or it could not be written. */
type Ended = (picture: Picture | Error) => void;

export class EnginePictures {
  readonly #engine: Engine;
  readonly #wires: PictureWires;
  readonly #files: ImageFiles;
  /** Epochs up to which outputs are let go: `rows <view>`, `late <view>`. */
  readonly #epochs = new Map<string, number>();
  #newest: Picture | null = null;
  /** No new picture before this. */
  #pauseUntilUs = 0;
  /** A picture is made or written. */
  #isMaking = false;
  /** What ledgers said while a picture was made: its images and epochs belong together. */
  #coveredLater: Coverage[] = [];

  constructor(engine: Engine, wires: PictureWires) {
    this.#engine = engine;
    this.#wires = wires;
    this.#files = new ImageFiles(join(tmpFolderOf(wires.dataFolder), "images"));
  }

  /** The ledger covers outputs: they are let go, and pictures from now on are completed by files up to its epoch. */
  covered(coverage: Coverage): void {
    if (this.#isMaking) {
      this.#coveredLater.push(coverage);
      return;
    }
    const { view, output, position, epoch } = coverage;
    this.#engine.windows.covered(view, output, position);
    this.#epochs.set(`${output} ${view}`, epoch);
    this.#newest = null;
  }

  /** The newest picture if it shows these views at a position or later. One of no views is always there. */
  find(views: readonly string[], after: number): Picture | null {
    if (views.length === 0) return { ...this.#factsOf(), views: new Map() };
    const newest = this.#newest;
    return newest !== null &&
      newest.position >= after &&
      views.every((view) => newest.views.has(view))
      ? newest
      : null;
  }

  /** How long a new picture must wait, µs: pictures take at most a tenth of the engine's time. */
  get pauseUs(): number {
    return Math.max(0, this.#pauseUntilUs - this.#wires.clock.monotonicUs());
  }

  /** Whether one may be made now: none is, and no checkpoint is copied. */
  get mayMake(): boolean {
    return !this.#isMaking && !this.#wires.backlog.isPaused;
  }

  /** Makes a picture of what is folded now. */
  make(views: readonly string[], ended: Ended): void {
    this.#isMaking = true;
    this.#slice(this.#steps(views), 0, ended);
  }

  /** Keeps the files of a picture's views until `release(id)`. */
  pin(id: number, views: readonly EngineViewPin[]): void {
    this.#files.pin(
      id,
      views.flatMap(({ images, changes, lateImages }) => [
        ...images,
        ...changes.map(({ path }) => path),
        ...lateImages,
      ]),
    );
  }

  release(id: number): void {
    this.#files.release(id);
  }

  #slice(steps: Iterator<void, Taken>, beforeUs: number, ended: Ended): void {
    const { backlog, clock, longest, later } = this.#wires;
    const { result: taken, tookUs } = takeSlice(steps, clock);
    longest.pictureUs = Math.max(longest.pictureUs, tookUs);
    if (taken === null) {
      backlog.pause();
      later(() => this.#slice(steps, beforeUs + tookUs, ended));
      return;
    }
    const pauseUs = Math.min(PICTURE_PAUSE_US_MAX, (beforeUs + tookUs) * 9);
    this.#write(taken)
      .catch(refusal)
      .then(
        (picture) => later(() => this.#written(picture, pauseUs, ended)),
        (error: unknown) =>
          later(() => {
            throw error;
          }),
      );
    if (!backlog.isPaused) return;
    backlog.resume();
    this.#wires.resumed();
  }

  /** The end of a picture. */
  #written(picture: Picture | Error, pauseUs: number, ended: Ended): void {
    this.#isMaking = false;
    this.#newest = picture instanceof Error ? null : picture;
    this.#pauseUntilUs = this.#wires.clock.monotonicUs() + pauseUs;
    ended(picture);
    const covered = this.#coveredLater;
    this.#coveredLater = [];
    for (const coverage of covered) this.covered(coverage);
    this.#wires.resumed();
  }

  #factsOf(): Omit<Picture, "views"> {
    const { accounts, folded, windows } = this.#engine;
    return { position: folded, accounts, reconciled: windows.reconciled.ranges };
  }

  *#steps(names: readonly string[]): Generator<void, Taken> {
    const facts = this.#factsOf();
    const known = this.#newest?.position === facts.position ? this.#newest.views : new Map();
    const views: TakenView[] = [];
    for (const name of names) if (!known.has(name)) views.push(yield* this.#viewSteps(name));
    return { ...facts, known, views };
  }

  *#viewSteps(view: string): Generator<void, TakenView> {
    const { windows } = this.#engine;
    const pending = namedOutputs(windows.pending(view));
    const openWindows = yield* windows.openWindowSteps(view);
    const open = openWindows.flatMap(({ startUs, version, images }) =>
      images.map(({ image }, part) => ({
        name: `${view}-open-${startUs}-${version}-${part}`,
        image,
      })),
    );
    const corrected = windows.corrected(view).map(({ op, image }, part) => ({
      op,
      name: `${view}-corrected-${windows.position(view)}-${part}`,
      image,
    }));
    const closed = pending.filter(({ kind }) => kind === "rows");
    const hasChanges = corrected.length > 0 || closed.some(({ op }) => op !== "append");
    return {
      view,
      rowsEpoch: this.#epochs.get(`rows ${view}`) ?? 0,
      lateEpoch: this.#epochs.get(`late ${view}`) ?? 0,
      rows: hasChanges ? open : [...closed, ...open],
      changes: hasChanges ? [...closed, ...corrected] : [],
      late: pending.filter(({ kind }) => kind === "late"),
      watermarkUs: windows.watermarkUs(view)?.toString() ?? null,
    };
  }

  /** Rejects as ImageFiles does. */
  async #write({ known, views: taken, ...facts }: Taken): Promise<Picture> {
    const views = new Map(known);
    for (const { view, rows, changes, late, ...rest } of taken) {
      const images = await this.#files.replace(`rows ${view}`, rows);
      const paths = await this.#files.replace(`changes ${view}`, changes);
      const lateImages = await this.#files.replace(`late ${view}`, late);
      const changed = paths.map((path, index) => ({ path, op: must(changes[index], "op").op }));
      views.set(view, { view, images, changes: changed, lateImages, ...rest });
    }
    return { ...facts, views };
  }
}

/** An error of the system is the answer of who asked; throws what is none. */
function refusal(error: unknown): Error {
  if (error instanceof Error && "code" in error) return error;
  throw error;
}

interface HeldImage extends NamedImage, Pick<ViewOutput, "kind"> {
  readonly op: PinnedChange["op"];
}

/** Outputs with names that stay theirs: those of one kind and position come and go together. */
function namedOutputs(outputs: readonly ViewOutput[]): HeldImage[] {
  const counts = new Map<string, number>();
  return outputs.map(({ view, kind, op, position, image }) => {
    const base = `${view}-${kind}-${position}`;
    const ordinal = counts.get(base) ?? 0;
    counts.set(base, ordinal + 1);
    return { kind, op: op ?? "append", name: `${base}-${ordinal}`, image };
  });
}
