// The engine's part in pins: questions wait until the views have folded what they ask for, then get a picture of what the engine holds: the
// newest one if that will do, or one that is made for them (engine-pictures.ts), when it is not too early for it.
import { must } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import type { Engine } from "../engine.ts";
import type { EngineBacklog } from "../engine-backlog.ts";
import { PIN_WAIT_US } from "../limits.ts";
import type { Coverage } from "../table/exporter.ts";
import { EnginePictures, type Picture, type PictureWires } from "./engine-pictures.ts";
import { engineStatus, type LongestSteps } from "./engine-status.ts";
import type { EngineToMain, MainToEngine } from "./messages.ts";

type Ask = Extract<MainToEngine, { kind: "pin" }>;
type Pinned = Extract<EngineToMain, { kind: "pinned" }>;

export class EnginePins {
  readonly #engine: Engine;
  readonly #backlog: EngineBacklog;
  readonly #clock: Clock;
  readonly #longest: Readonly<LongestSteps>;
  readonly #pictures: EnginePictures;
  readonly #toMain: (message: EngineToMain) => void;
  #waiting: { readonly ask: Ask; readonly sinceUs: number }[] = [];
  #wakeScheduled = false;

  constructor(
    engine: Engine,
    wires: PictureWires & { readonly toMain: (message: EngineToMain) => void },
  ) {
    this.#engine = engine;
    this.#backlog = wires.backlog;
    this.#clock = wires.clock;
    this.#longest = wires.longest;
    this.#pictures = new EnginePictures(engine, wires);
    this.#toMain = wires.toMain;
  }

  ask(ask: Ask): void {
    this.#waiting.push({ ask, sinceUs: this.#clock.monotonicUs() });
    this.answer();
  }

  release(id: number): void {
    this.#pictures.release(id);
  }

  /** The ledger covers outputs. */
  covered(coverage: Coverage): void {
    this.#pictures.covered(coverage);
  }

  /**
   * Answers those whose position is folded, those that name none while nothing is folded, and those that have waited too long. Called after
   * every fold and every second.
   */
  answer(): void {
    if (this.#waiting.length === 0) return;
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

  /**
   * False when a new picture is needed and it is too early for one. A picture makes windows of its own: none is made while pages are copied for
   * a checkpoint, or for another. One that cannot be written refuses the question only.
   */
  #tryPin(ask: Ask): boolean {
    const picture = this.#pictures.find(ask.views, ask.after);
    if (picture !== null) {
      this.#pin(ask, picture);
      return true;
    }
    if (!this.#pictures.mayMake) return false;
    const { pauseUs } = this.#pictures;
    if (pauseUs > 0) {
      this.#wakeLater(pauseUs);
      return false;
    }
    this.#pictures.make(ask.views, (made) => {
      if (!(made instanceof Error)) this.#pin(ask, made);
      else this.#toMain({ kind: "no picture", id: ask.id, message: made.message });
    });
    return true;
  }

  #pin(ask: Ask, { position, views: shown, accounts, reconciled }: Picture): void {
    const views = ask.views.map((view) => must(shown.get(view), `picture of ${view}`));
    this.#pictures.pin(ask.id, views);
    const status = engineStatus(this.#engine, this.#backlog, this.#longest);
    const { id } = ask;
    const pinned: Pinned = { kind: "pinned", id, position, views, accounts, reconciled, status };
    this.#toMain(pinned);
  }

  #wakeLater(pauseUs: number): void {
    if (this.#wakeScheduled) return;
    this.#wakeScheduled = true;
    setTimeout(
      () => {
        this.#wakeScheduled = false;
        this.answer();
      },
      Math.max(1, Math.ceil(pauseUs / 1000)),
    );
  }
}
