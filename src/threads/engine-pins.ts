// The engine's part in pins: waits until the views have folded what a query asks for, then writes images of what they hold. At most one
// picture every PICTURE_INTERVAL_US: a question in between sees the last one, if that is new enough for it.
import { join } from "node:path";
import type { Engine } from "../engine.ts";
import { PICTURE_INTERVAL_US, PIN_WAIT_US } from "../limits.ts";
import { ImageFiles } from "../query/image-files.ts";
import { engineStatus } from "./engine-status.ts";
import type { EngineToMain, EngineViewPin, MainToEngine, ThreadStart } from "./messages.ts";

type Ask = Extract<MainToEngine, { kind: "pin" }>;

interface WaitingAsk {
  readonly ask: Ask;
  readonly sinceUs: number;
}

/** A view's last picture, and when and where it was taken. */
interface Picture {
  readonly position: number;
  readonly takenUs: number;
  readonly pin: EngineViewPin;
}

export class EnginePins {
  readonly #engine: Engine;
  readonly #files: ImageFiles;
  readonly #toMain: (message: EngineToMain) => void;
  #waiting: WaitingAsk[] = [];

  constructor(engine: Engine, start: ThreadStart, toMain: (message: EngineToMain) => void) {
    this.#engine = engine;
    this.#files = new ImageFiles(join(start.dataFolder, "tmp", "images"));
    this.#toMain = toMain;
  }

  ask(ask: Ask, nowUs: number): void {
    this.#waiting.push({ ask, sinceUs: nowUs });
    this.answer(nowUs);
  }

  release(id: number): void {
    this.#files.release(id);
  }

  /** Answers those whose position is folded, and those that have waited too long. Called after every fold and every second. */
  answer(nowUs: number): void {
    const still: WaitingAsk[] = [];
    for (const waiting of this.#waiting) {
      const { ask, sinceUs } = waiting;
      if (ask.after <= this.#engine.folded) this.#pinned(ask);
      else if (nowUs - sinceUs > PIN_WAIT_US)
        this.#toMain({ kind: "lagging", id: ask.id, position: this.#engine.folded });
      else still.push(waiting);
    }
    this.#waiting = still;
  }

  #pinned(ask: Ask): void {
    const views = ask.views.map((view) => this.#viewPin(view));
    this.#files.pin(
      ask.id,
      views.flatMap(({ images, lateImages }) => [...images, ...lateImages]),
    );
    this.#toMain({
      kind: "pinned",
      id: ask.id,
      position: this.#engine.folded,
      views,
      status: engineStatus(this.#engine),
    });
  }
}
