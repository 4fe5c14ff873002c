// The engine's part in pins: waits until the views have folded what a query asks for, then writes images of what they hold. Pictures take
// at most a tenth of the engine's time: a question that comes earlier waits, or sees the last picture if that is new enough for it.
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { must } from "../base/assert.ts";
import type { Engine } from "../engine.ts";
import type { Accounts } from "../reader/accounting.ts";
import type { EngineBacklog } from "../engine-backlog.ts";
import { PICTURE_PAUSE_US_MAX, PIN_WAIT_US } from "../limits.ts";
import { tmpFolderOf } from "../log/data-folder.ts";
import { ImageFiles, type NamedImage } from "../query/image-files.ts";
import type { PinnedChange } from "../query/pin.ts";
import { engineStatus, type LongestSteps } from "./engine-status.ts";
import type { EngineToMain, EngineViewPin, MainToEngine } from "./messages.ts";
import type { Coverage } from "../table/exporter.ts";
import type { ViewOutput } from "../window/output.ts";
import type { ReconciledRange } from "../window/reconciled.ts";

type Ask = Extract<MainToEngine, { kind: "pin" }>;
type Pinned = Extract<EngineToMain, { kind: "pinned" }>;

/** What all views looked like at one position. Made view by view, as they are asked for. */
interface Picture {
  readonly position: number;
  readonly views: Map<string, EngineViewPin>;
  readonly accounts: Accounts;
  readonly reconciled: readonly ReconciledRange[];
}

function noPicture(): Picture {
  const accounts = { streams: [], views: [], watermarks: [] };
  return { position: -1, views: new Map(), accounts, reconciled: [] };
}

export class EnginePins {
  readonly #engine: Engine;
  readonly #backlog: EngineBacklog;
  readonly #clock: Clock;
  readonly #longest: Readonly<LongestSteps>;
  readonly #files: ImageFiles;
  readonly #toMain: (message: EngineToMain) => void;
  /** Epochs up to which outputs are let go: `rows <view>`, `late <view>`. */
  readonly #epochs = new Map<string, number>();
  #waiting: { readonly ask: Ask; readonly sinceUs: number }[] = [];
  #picture: Picture = noPicture();
  /** No new picture before this. */
  #pauseUntilUs = 0;
  #wakeScheduled = false;

  constructor(
    engine: Engine,
    wires: {
      readonly backlog: EngineBacklog;
      readonly clock: Clock;
      readonly longest: Readonly<LongestSteps>;
      readonly dataFolder: string;
      readonly toMain: (message: EngineToMain) => void;
    },
  ) {
    this.#engine = engine;
    this.#backlog = wires.backlog;
    this.#clock = wires.clock;
    this.#longest = wires.longest;
    this.#files = new ImageFiles(join(tmpFolderOf(wires.dataFolder), "images"));
    this.#toMain = wires.toMain;
  }

  ask(ask: Ask): void {
    this.#waiting.push({ ask, sinceUs: this.#clock.monotonicUs() });
    this.answer();
  }

  release(id: number): void {
    this.#files.release(id);
  }

  /** The ledger covers outputs: they are let go, and pictures from now on are completed by files up to its epoch. */
  covered(coverage: Coverage): void {
    const { view, output, position, epoch } = coverage;
    this.#engine.windows.covered(view, output, position);
    this.#epochs.set(`${output} ${view}`, epoch);
    this.#picture = noPicture();
  }

  /**
   * Answers those whose position is folded, those that name none while nothing is folded, and those that have waited too long. Called after
   * every fold and every second. A picture makes windows of its own: none is taken while pages are copied for a checkpoint.
   */
  answer(): void {
    if (this.#waiting.length === 0 || this.#backlog.isPaused) return;
    const nowUs = this.#clock.monotonicUs();
    this.#waiting = this.#waiting.filter(({ ask, sinceUs }) => {
      const { folded } = this.#engine;
      const seesLess = !ask.mustReach && this.#backlog.isWaiting;
      if (ask.after <= folded || seesLess)
        return !this.#tryPin({ ...ask, after: Math.min(ask.after, folded) });
      if (nowUs - sinceUs <= PIN_WAIT_US) return true;
      this.#toMain({ kind: "lagging", id: ask.id, position: this.#engine.folded });
      return false;
    });
  }

  /** False when a new picture is needed and it is too early for one. A picture that cannot be written refuses the question only. */
  #tryPin(ask: Ask): boolean {
    try {
      return this.#pin(ask);
    } catch (error) {
      if (!(error instanceof Error && "code" in error)) throw error;
      this.#picture = noPicture();
      this.#toMain({ kind: "no picture", id: ask.id, message: error.message });
      return true;
    }
  }

  #pin(ask: Ask): boolean {
    const usable =
      this.#picture.position >= ask.after &&
      ask.views.every((view) => this.#picture.views.has(view));
    if (!usable && ask.views.length > 0 && this.#clock.monotonicUs() < this.#pauseUntilUs) {
      this.#wakeLater();
      return false;
    }
    const picture = usable && ask.views.length > 0 ? this.#picture : this.#takePicture(ask.views);
    const views = ask.views.map((view) => must(picture.views.get(view), `picture of ${view}`));
    this.#files.pin(
      ask.id,
      views.flatMap(({ images, changes, lateImages }) => [
        ...images,
        ...changes.map(({ path }) => path),
        ...lateImages,
      ]),
    );
    const pinned: Pinned = {
      kind: "pinned",
      id: ask.id,
      position: picture.position,
      views,
      accounts: picture.accounts,
      reconciled: picture.reconciled,
      status: engineStatus(this.#engine, this.#backlog, this.#longest),
    };
    this.#toMain(pinned);
    return true;
  }

  #takePicture(views: readonly string[]): Picture {
    const beganUs = this.#clock.monotonicUs();
    const position = this.#engine.folded;
    const known =
      this.#picture.position === position ? this.#picture.views : new Map<string, EngineViewPin>();
    const { accounts, windows } = this.#engine;
    const { ranges: reconciled } = windows.reconciled;
    this.#picture = { position, views: known, accounts, reconciled };
    for (const view of views) known.set(view, this.#viewPin(view));
    const endUs = this.#clock.monotonicUs();
    this.#pauseUntilUs = endUs + Math.min(PICTURE_PAUSE_US_MAX, (endUs - beganUs) * 9);
    return this.#picture;
  }

  #viewPin(view: string): EngineViewPin {
    const { windows } = this.#engine;
    const pending = namedOutputs(windows.pending(view));
    const open = windows.openWindows(view).flatMap(({ startUs, version, images }) =>
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
    const changes = hasChanges ? [...closed, ...corrected] : [];
    const late = pending.filter(({ kind }) => kind === "late");
    return {
      view,
      rowsEpoch: this.#epochs.get(`rows ${view}`) ?? 0,
      lateEpoch: this.#epochs.get(`late ${view}`) ?? 0,
      images: this.#files.replace(`rows ${view}`, hasChanges ? open : [...closed, ...open]),
      changes: this.#files
        .replace(`changes ${view}`, changes)
        .map((path, index) => ({ path, op: must(changes[index], "change").op })),
      lateImages: this.#files.replace(`late ${view}`, late),
      watermarkUs: windows.watermarkUs(view)?.toString() ?? null,
    };
  }

  #wakeLater(): void {
    if (this.#wakeScheduled) return;
    this.#wakeScheduled = true;
    const pauseMs = (this.#pauseUntilUs - this.#clock.monotonicUs()) / 1000;
    setTimeout(
      () => {
        this.#wakeScheduled = false;
        this.answer();
      },
      Math.max(1, Math.ceil(pauseMs)),
    );
  }
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
