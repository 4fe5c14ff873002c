// Verb: a running instance -> shipments in the store, one after the other: state, ledger and tables of one moment, and the log that the segments hold. Then what no
// kept shipment needs any more is removed.
import { counted } from "../base/counted.ts";
import { durablyAway } from "../base/failpoints.ts";
import { compressIfItPays } from "../base/zstd.ts";
import { SavepointError } from "../savepoint/manifest.ts";
import {
  fillWithoutLog,
  type SavepointOrder,
  type SavepointPorts,
} from "../savepoint/savepoint.ts";
import { chunksOf, confirmOwner, type Claimed, type Kept } from "./claim.ts";
import { neededChunks, removableKeys } from "./collect.ts";
import { Lanes } from "./lanes.ts";
import type { LogShipper } from "./log-shipper.ts";
import { currentTerm, type Owner } from "./owner.ts";
import { sha256Of } from "./segment.ts";
import { CHUNK_BYTES, REMOVALS_MAX, UPLOADS_MAX } from "./ship-limits.ts";
import {
  chunkKey,
  encodeShipment,
  shipmentKey,
  type Chunk,
  type ShippedFile,
  type Shipment,
} from "./shipment.ts";
import { ShipStage, type StagedFile } from "./stage.ts";
import type { ObjectStore } from "./store.ts";

export interface ShipperPorts extends Omit<SavepointPorts, "tell" | "pause"> {
  /** Nothing is copied from the data folder any more: what was held back may go. */
  readonly letGo: () => void;
  /** Called between two pieces, and told the bytes that went out. Rejects when the shipment is to be given up. */
  readonly pause: (bytes: number) => Promise<void>;
  readonly nowUs: () => number;
}

export class Shipper {
  readonly #store: ObjectStore;
  readonly #order: Omit<SavepointOrder, "to" | "madeAt">;
  readonly #ports: ShipperPorts;
  readonly #owner: Owner;
  readonly #keepMax: number;
  #kept: readonly Kept[];
  /** Of the last two shipments, whether both are kept or not. */
  #positions: readonly number[];
  #lastNumber: number;
  /** SHA-256 of chunks that are in the store. */
  #chunks: Set<string>;
  /** Whether all chunks that kept shipments need were there at the last look. */
  #isWhole: boolean;

  constructor(
    store: ObjectStore,
    order: Omit<SavepointOrder, "to" | "madeAt">,
    { claimed, keepMax }: { readonly claimed: Claimed; readonly keepMax: number },
    ports: ShipperPorts,
  ) {
    this.#store = store;
    this.#order = order;
    this.#ports = ports;
    this.#owner = claimed.owner;
    this.#keepMax = keepMax;
    this.#kept = claimed.kept;
    this.#positions = claimed.kept.slice(-2).map(({ shipment }) => shipment.log.last);
    this.#lastNumber = claimed.lastNumber;
    this.#chunks = new Set(claimed.chunks);
    const there = new Set(claimed.chunks.map(chunkKey));
    this.#isWhole = [...neededChunks(claimed.kept)].every((key) => there.has(key));
  }

  /** The newest shipment of this folder. */
  get newest(): Kept | null {
    return this.#kept.at(-1) ?? null;
  }

  /** Whether the last two shipments are of `position`: another one would say the same. */
  isSettledAt(position: number): boolean {
    const last = this.#positions;
    return this.#isWhole && last.length === 2 && last.every((one) => one === position);
  }

  /**
   * Makes one shipment. Rejects with SavepointError, ClaimRefusedError, StoreError, OS and SQLite errors; then the one before it is the newest, and what was put
   * there is not put there again.
   */
  async make(log: LogShipper): Promise<void> {
    const { files, nowUs, letGo, pause } = this.#ports;
    const { dataFolder } = this.#order;
    const stage = new ShipStage(dataFolder, files, this.#known());
    try {
      const madeAt = new Date(nowUs() / 1000).toISOString();
      const ports = { ...this.#ports, pause: () => pause(0), tell: () => {} };
      const filled = await fillWithoutLog({ ...this.#order, madeAt }, ports, stage).finally(letGo);
      const { savepoint } = filled;
      await this.#awaitLog(log, savepoint.log);
      const shipped = await this.#upload(stage);
      stage.remove();
      await this.#publish({ ...savepoint, folder: this.#owner.folder, files: shipped });
      log.join(savepoint.log.last);
    } finally {
      stage.remove();
    }
    await this.#collect();
  }

  /** Files that never change, as the newest shipment of this very folder has them: names mean the same there. */
  #known(): Map<string, ShippedFile> {
    const newest = this.newest?.shipment;
    if (newest?.folder !== this.#owner.folder) return new Map();
    const lasting = newest.files.filter(({ path }) => /^(ids|warehouse)\//.test(path));
    const isThere = ({ chunks }: ShippedFile): boolean =>
      chunks.every(({ sha256 }) => this.#chunks.has(sha256));
    return new Map(lasting.filter(isThere).map((file) => [file.path, file]));
  }

  /** The records of the moment are durable: they are on their way, unless they were trimmed before. */
  async #awaitLog(
    log: LogShipper,
    { first, last }: { readonly first: number; readonly last: number },
  ): Promise<void> {
    while (log.shipped.last < last) {
      await log.step();
      await this.#ports.pause(0);
    }
    if (log.shipped.runFirst > first)
      throw new SavepointError(
        `log records ${first} to ${log.shipped.runFirst - 1} left the log before they could be shipped: the next shipment has them in its tables`,
      );
  }

  async #upload(stage: ShipStage): Promise<ShippedFile[]> {
    const lanes = new Lanes(UPLOADS_MAX);
    const shipped: ShippedFile[] = [];
    try {
      for (const file of stage.staged) {
        if ("shipped" in file) shipped.push(file.shipped);
        else shipped.push(await this.#uploadFile(file, { lanes, stage }));
      }
    } finally {
      await lanes.end();
    }
    return shipped;
  }

  async #uploadFile(
    { path, from }: Extract<StagedFile, { readonly from: string }>,
    { lanes, stage }: { readonly lanes: Lanes; readonly stage: ShipStage },
  ): Promise<ShippedFile> {
    const reader = this.#ports.files.open(from);
    try {
      const chunks: Chunk[] = [];
      for (let at = 0; at < reader.sizeBytes; at += CHUNK_BYTES) {
        // events need the room that the copies take
        stage.refuseFull(0);
        const raw = new Uint8Array(Math.min(CHUNK_BYTES, reader.sizeBytes - at));
        reader.read(at, raw);
        // tables and sealed ids are compressed already
        const frame = path.endsWith(".db") ? compressIfItPays(raw) : null;
        const bytes = frame ?? raw;
        const sha256 = sha256Of(bytes);
        const rawBytes = frame === null ? {} : { rawBytes: raw.length };
        chunks.push({ sha256, bytes: bytes.length, ...rawBytes });
        await this.#uploadChunk(sha256, bytes, lanes);
      }
      return { path, bytes: reader.sizeBytes, chunks };
    } finally {
      reader.close();
    }
  }

  async #uploadChunk(sha256: string, bytes: Uint8Array, lanes: Lanes): Promise<void> {
    if (this.#chunks.has(sha256)) return this.#ports.pause(0);
    await lanes.start(async () => {
      await durablyAway(this.#ports.files, "ship.chunk.put", () =>
        this.#store.put(chunkKey(sha256), bytes),
      );
      this.#chunks.add(sha256);
    });
    return this.#ports.pause(bytes.length);
  }

  async #publish(shipment: Shipment): Promise<void> {
    const number = this.#lastNumber + 1;
    const place = { number, last: shipment.log.last, term: currentTerm(this.#owner).id };
    const key = shipmentKey(place);
    await confirmOwner(this.#store, this.#owner);
    // counted first: one that was put though it failed has its number for good
    this.#lastNumber = number;
    await durablyAway(this.#ports.files, "ship.shipment.put", () =>
      this.#store.put(key, encodeShipment(shipment)),
    );
    await confirmOwner(this.#store, this.#owner);
    this.#kept = [...this.#kept, { name: { key, ...place }, shipment }].slice(-this.#keepMax);
    this.#positions = [...this.#positions, place.last].slice(-2);
  }

  /** Removes what no kept shipment needs, and looks whether the store still has all that they do. */
  async #collect(): Promise<void> {
    const listed = await this.#store.list("");
    const keys = listed.map(({ key }) => key);
    await confirmOwner(this.#store, this.#owner);
    const needed = neededChunks(this.#kept);
    const lanes = new Lanes(REMOVALS_MAX);
    try {
      for (const key of removableKeys(keys, this.#kept, this.#owner)) {
        await lanes.start(() =>
          durablyAway(this.#ports.files, "ship.object.remove", () => this.#store.remove(key)),
        );
        await this.#ports.pause(0);
      }
    } finally {
      await lanes.end();
    }
    this.#chunks = new Set(chunksOf(listed).filter((sha256) => needed.has(chunkKey(sha256))));
    const missing = needed.size - this.#chunks.size;
    this.#isWhole = missing === 0;
    if (missing > 0)
      throw new SavepointError(
        `${counted(missing, "object")} that shipments need ${missing === 1 ? "is" : "are"} gone from ${this.#store.address}: the next shipment puts what is missing there again. Look who else removes objects there, such as a lifecycle rule of the bucket`,
      );
  }
}
