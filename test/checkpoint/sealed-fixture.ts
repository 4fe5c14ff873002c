// Admission, its checkpoints and the sealer on one thread, as the engine and the export thread have them: for the tests of sealing.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Admission, type AdmissionFull, type Admitted } from "../../src/admit/admission.ts";
import { decodeGenerations } from "../../src/admit/seal-plan.ts";
import type { StreamSettings } from "../../src/admit/stream-block.ts";
import { DiskFiles } from "../../src/base/disk-files.ts";
import type { Files } from "../../src/base/files.ts";
import { MemoryFiles } from "../../src/base/memory-files.ts";
import { GENERATIONS_READER, Sealer, type GenerationsChange } from "../../src/checkpoint/sealer.ts";
import { openCheckpointStore } from "../../src/checkpoint/sqlite-store.ts";
import { NO_CHANGE, type CheckpointStore } from "../../src/checkpoint/store.ts";
import { batchOf, imageOf, KEY, kernels, type TestEvent } from "../admit/fixture.ts";

export const FOLDER = "/ids";

interface LoggedBatch {
  readonly receivedAtUs: number;
  readonly image: Uint8Array;
  readonly watermarkUs: bigint | null;
}

export class SealedRig {
  readonly settings: StreamSettings;
  readonly files: Files;
  readonly #root = mkdtempSync(join(tmpdir(), "millrace-sealed-"));
  readonly #diskBytesMax: number;
  readonly #log: LoggedBatch[] = [];
  #store: CheckpointStore;
  #nowUs = 0;
  #generations = 0;
  /** Merges so far. */
  merges = 0;
  admission: Admission;
  sealer: Sealer;

  constructor(settings: StreamSettings, options: { files?: Files; diskBytesMax?: number } = {}) {
    this.settings = settings;
    this.files = options.files ?? new MemoryFiles();
    this.#diskBytesMax = options.diskBytesMax ?? 1e9;
    this.#store = this.#open();
    this.admission = this.#newAdmission();
    this.sealer = this.#newSealer();
  }

  #open(): CheckpointStore {
    return openCheckpointStore(join(this.#root, "state.db"), new DiskFiles(), "job");
  }

  #newAdmission(isDeclared = true): Admission {
    const admission = new Admission(kernels(), KEY, { files: this.files, path: FOLDER });
    if (isDeclared) admission.addStream(this.settings);
    return admission;
  }

  #newSealer(): Sealer {
    const { name, dedupTtlUs, idsMax } = this.settings;
    const stream = { name, dedupTtlUs: dedupTtlUs ?? 0, idsMax, diskBytesMax: this.#diskBytesMax };
    return new Sealer({ files: this.files, folder: FOLDER }, this.#store, [stream]);
  }

  admit(events: readonly TestEvent[], receivedAtUs: number): Admitted | AdmissionFull {
    const result = this.admission.admit(this.settings.name, batchOf(events), {
      receivedAtUs,
      partition: "",
    });
    if (result.full) return result;
    this.#nowUs = receivedAtUs;
    const accepted = events.filter((_, row) => result.verdicts[row] === 0);
    this.#log.push({
      receivedAtUs,
      image: imageOf(accepted, false),
      watermarkUs: this.admission.clock(this.settings.name).watermarkUs,
    });
    return result;
  }

  /** `nowUs`: when the newest record of all streams was received. */
  checkpoint(nowUs = this.#nowUs): void {
    const { body, segments } = this.admission.takeDelta(this.#log.length);
    const changes = this.sealer.save({
      ...NO_CHANGE,
      readers: [{ name: "admission", position: this.#log.length, body }],
      segments,
      expiredSegments: this.admission.expiredIds(nowUs),
    });
    this.#take(changes);
  }

  /** At most `steps` steps of the sealer. */
  seal(steps = 1000): void {
    for (let step = 0; step < steps; step++) {
      const change = this.sealer.step();
      if (change !== null) this.#take([change]);
      else if (!this.sealer.isBusy) return;
    }
  }

  #take(changes: readonly GenerationsChange[]): void {
    for (const { stream, generations, made } of changes) {
      this.admission.setGenerations(stream, generations, made);
      if (made !== null && generations.length < this.#generations) this.merges++;
      this.#generations = generations.length;
    }
    if (changes.length > 0) this.sealer.taken();
  }

  /** What a killed process leaves, started again, with the stream in the configuration or without. */
  restart(isDeclared = true): void {
    this.#store.close();
    this.#store = this.#open();
    this.admission = this.#newAdmission(isDeclared);
    const { readers, segments } = this.#store.load();
    const bodyOf = (name: string): Uint8Array | null =>
      readers.find((reader) => reader.name === name)?.body ?? null;
    const list = decodeGenerations(bodyOf(GENERATIONS_READER));
    this.admission.setGenerations(this.settings.name, list.generations, null);
    const body = bodyOf("admission");
    const from =
      body === null
        ? 0
        : this.admission.restore(
            body,
            [...segments].map(({ bytes }) => bytes),
          );
    for (const record of this.#log.slice(from))
      if (record.image.length > 0 && isDeclared)
        this.admission.replay(this.settings.name, {
          ...record,
          partition: "",
          eventTime: 2,
          eventId: 1,
        });
    this.sealer = this.#newSealer();
  }

  close(): void {
    this.#store.close();
    rmSync(this.#root, { recursive: true, force: true });
  }
}
