// Pictures of open windows by slices: all of a picture is of one position, whatever comes while it is made.
import { afterAll, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { must } from "../../src/base/assert.ts";
import type { Clock } from "../../src/base/clock.ts";
import { Engine } from "../../src/engine.ts";
import { EngineBacklog } from "../../src/engine-backlog.ts";
import type { SealedRecord } from "../../src/engine-records.ts";
import { imageRows, type ImageColumn } from "../../src/event/image.ts";
import { encodeRecord } from "../../src/log/codec.ts";
import { MemoryLog } from "../../src/log/memory-log.ts";
import { pipelineBodyBytes } from "../../src/pipeline.ts";
import { EnginePictures, type Picture } from "../../src/threads/engine-pictures.ts";
import { temporaryFolder } from "../e2e/appliance.ts";
import { CLICKS, EXAMPLE_PLANS, MODULES } from "../one-thread.ts";

const VIEW = "page_views_minute";
const NOW_US = Date.UTC(2019, 9, 2) * 1000;
const RECORD_CLICKS = 500;

const folder = temporaryFolder();
afterAll(() => folder.dispose());

/** So slow that a slice is one step. */
class SlowClock implements Clock {
  #us = 0;

  nowUs(): number {
    return NOW_US;
  }
  monotonicUs(): number {
    return (this.#us += 1_000_000);
  }
}

/** An engine over a log in memory, and its pictures. */
class Fixture {
  readonly engine: Engine;
  readonly backlog: EngineBacklog;
  readonly pictures: EnginePictures;
  readonly #log = new MemoryLog({ fileSizeBytes: 2 ** 20, sizeMaxBytes: 2 ** 32 });
  readonly #writer = this.#log.openWriter();
  readonly #later: (() => void)[] = [];
  #clicks = 0;

  constructor() {
    const { stream, plans } = EXAMPLE_PLANS;
    this.engine = new Engine({
      modules: MODULES,
      idKey: { k0: 1n, k1: 2n },
      streams: [stream],
      bodiesBytes: pipelineBodyBytes(4 * 1024 * 1024),
    });
    this.engine.addViews(
      plans.map((plan) => ({ plan, since: 0 })),
      [],
    );
    this.backlog = new EngineBacklog(this.engine, this.#log.openReader());
    this.pictures = new EnginePictures(this.engine, {
      backlog: this.backlog,
      clock: new SlowClock(),
      longest: { catchUpUs: 0, checkpointUs: 0, pictureUs: 0 },
      dataFolder: folder.path,
      later: (step) => this.#later.push(step),
      resumed: () => undefined,
    });
  }

  /** The next clicks come, are durable, and are folded if they may be. */
  record(): void {
    const sealed = this.#seal(CLICKS.slice(this.#clicks, this.#clicks + RECORD_CLICKS));
    this.#clicks += RECORD_CLICKS;
    this.#writer.append([encodeRecord(this.engine.recordOf(sealed))]);
    this.backlog.take([sealed]);
  }

  #seal(clicks: readonly string[]): SealedRecord {
    const { engine } = this;
    const bytes = Buffer.from(clicks.join("\n"));
    const address = engine.bodiesBase;
    new Uint8Array(engine.decodeMemory).set(bytes, address);
    const body = { request: 1, address, bytes: bytes.length, format: "ndjson" as const };
    const source = { stream: "clicks", partition: "" };
    const taken = engine.take(source, [body], { nowUs: NOW_US, cursor: null });
    if (taken.kind === "full" || taken.sealed === null) throw new Error("a record");
    return taken.sealed;
  }

  /** A picture of the view. `between` is called after each slice. */
  async picture(between: () => void = () => undefined): Promise<Picture> {
    let made: Picture | Error | null = null;
    this.pictures.make([VIEW], (picture) => (made = picture));
    for (;;) {
      between();
      const step = this.#later.shift();
      if (step === undefined) await Bun.sleep(1);
      else step();
      const ended = made as Picture | Error | null;
      if (ended instanceof Error) throw ended;
      if (ended !== null) return ended;
    }
  }

  /** Events that the rows of a picture count. */
  eventsOf(picture: Picture): number {
    const plan = must(
      EXAMPLE_PLANS.plans.find(({ name }) => name === VIEW),
      "the view",
    );
    const revision: ImageColumn = { name: "revision", type: { kind: "BIGINT" }, nullable: false };
    const columns = [...plan.output, revision];
    const counted = plan.output.findIndex(({ name }) => name === "view_count");
    return imagesOf(picture)
      .flatMap((path) => imageRows(new Uint8Array(readFileSync(path)), columns))
      .reduce((sum, row) => sum + Number(row[counted]), 0);
  }

  /** Events that the view has counted so far. */
  get counted(): number {
    const { counts } = must(
      this.engine.windows.stats().find(({ view }) => view === VIEW),
      "the view",
    );
    return counts.applied + counts.pending;
  }
}

test("while a picture is made nothing is folded, and what a ledger says waits", async () => {
  const fixture = new Fixture();
  for (let n = 0; n < 8; n++) fixture.record();
  const { backlog, engine, pictures } = fixture;
  const { folded, windows } = engine;
  const { counted } = fixture;
  const pending = windows.pending(VIEW).length;
  expect(pending).toBeGreaterThan(0);
  let slices = 0;
  const picture = await fixture.picture(() => {
    if (!backlog.isPaused) return;
    expect(pictures.mayMake).toBe(false);
    if (slices++ === 0) {
      fixture.record();
      pictures.covered({ view: VIEW, output: "rows", position: folded, epoch: 7 });
    }
    expect(engine.folded).toBe(folded);
    expect(windows.pending(VIEW).length).toBe(pending);
  });
  expect(slices).toBeGreaterThan(5);
  expect(picture.position).toBe(folded);
  expect(picture.views.get(VIEW)?.rowsEpoch).toBe(0);
  expect(fixture.eventsOf(picture)).toBe(counted);
  expect(windows.pending(VIEW)).toEqual([]);
  expect(pictures.find([VIEW], folded)).toBe(null);

  expect(backlog.isBehind).toBe(true);
  while (backlog.catchUp(() => true).more);
  expect(engine.folded).toBe(folded + 1);
  const next = await fixture.picture();
  expect(next.views.get(VIEW)?.rowsEpoch).toBe(7);
  expect(pictures.find([VIEW], folded + 1)).toBe(next);
});

test("files that a pin holds stay until it is released, whatever pictures come meanwhile", async () => {
  const fixture = new Fixture();
  fixture.record();
  const first = await fixture.picture();
  const before = fixture.eventsOf(first);
  expect(before).toBe(fixture.counted);
  fixture.pictures.pin(1, [must(first.views.get(VIEW), "the view")]);
  fixture.record();
  const second = await fixture.picture(() => expect(fixture.eventsOf(first)).toBe(before));
  expect(fixture.eventsOf(first)).toBe(before);
  expect(fixture.eventsOf(second)).toBe(fixture.counted);
  const [file = ""] = new Set(imagesOf(first)).difference(new Set(imagesOf(second)));
  expect(existsSync(file)).toBe(true);
  fixture.pictures.release(1);
  // ends with the file: it is unlinked off the thread
  while (existsSync(file)) await Bun.sleep(1);
});

function imagesOf(picture: Picture): readonly string[] {
  return must(picture.views.get(VIEW), "a picture of the view").images;
}
