// Verb: a prefix -> a new data folder: the newest whole shipment, and every segment of the log that follows it without a gap. Objects come a few at a time, each
// is checked by its SHA-256 before a byte of it is used.
import { dirname, join } from "node:path";
import type { Files } from "../base/files.ts";
import { decompressForeign } from "../base/zstd.ts";
import { LogCopy } from "../savepoint/copy-log.ts";
import { refuseTarget, restoreInto } from "../savepoint/restore.ts";
import { CONFIGURATION_NAME } from "../savepoint/manifest.ts";
import { writeFolderNote } from "./claim.ts";
import { inOrder } from "./lanes.ts";
import { currentTerm, decodeOwner, OWNER_KEY, type Owner } from "./owner.ts";
import {
  decodeSegment,
  lastStored,
  readSegmentKey,
  runFrom,
  sha256Of,
  type Run,
  type Segment,
} from "./segment.ts";
import { DOWNLOADS_MAX, NOTE_BYTES_MAX, REQUEST_TRIES, SEGMENT_BYTES_MAX } from "./ship-limits.ts";
import {
  chunkKey,
  countedShipments,
  decodeShipment,
  readShipmentKey,
  type Chunk,
  type Shipment,
  type ShipmentName,
  type ShippedFile,
} from "./shipment.ts";
import { StoreError, type ObjectStore } from "./store.ts";
import type { EncodedRecord } from "../log/log.ts";

export interface ShipRestoreOrder {
  readonly store: ObjectStore;
  /** Null: the newest. */
  readonly number: number | null;
  /** Empty, or not there. Absolute. */
  readonly dataFolder: string;
  readonly files: Files;
  /** Bytes that came so far, of all. */
  readonly tell: (bytes: number, all: number) => void;
}

export interface ShipRestoreReport {
  readonly dataFolder: string;
  readonly from: string;
  readonly number: number;
  readonly shipment: Shipment;
  readonly movedTables: number;
  /** The last log position that was restored, and when its events were received, µs (0: the log is empty). */
  readonly last: number;
  readonly lastReceivedAtUs: number;
  /** Positions that the store has behind a gap, so that they were not restored. */
  readonly beyond: { readonly from: number; readonly to: number } | null;
  /** Why the log ends where it does, when a segment was there and could not be used. */
  readonly damage: string | null;
}

/** What the prefix holds. */
interface Contents {
  readonly owner: Owner;
  readonly segments: readonly Segment[];
  /** Newest first. */
  readonly shipments: readonly ShipmentName[];
}

/** Log files of the restored folder: those of a default configuration. */
const LOG_FILE_BYTES = 128 * 1024 * 1024;

/** Restores. Rejects with StoreError and SavepointError; then the data folder is as it was before. */
export async function restoreShipment(order: ShipRestoreOrder): Promise<ShipRestoreReport> {
  const { store } = order;
  refuseTarget(order);
  const contents = await readContents(store);
  const name = choose(contents, order);
  const advice = otherAdvice(contents, name);
  const shipment = await fetchShipment(store, name).catch(withAdvice(advice));
  const { log, jobId } = shipment;
  const run = runFrom(log.first, contents.segments, contents.owner.terms);
  if (run.last < log.last)
    throw new StoreError(
      "refused",
      `shipment ${name.number} of ${store.address} needs the log up to position ${log.last}, and segments are there up to ${run.last} only${advice}`,
    );
  const stored = lastStored(contents.segments, contents.owner.terms);
  let restored: RestoredLog = { last: log.last, lastReceivedAtUs: 0, damage: null };
  const { dataFolder, movedTables } = await restoreInto(order, shipment, async (place) => {
    const download = new Download(order, advice, bytesOf(shipment));
    await download.files(shipment, place);
    const copy = new LogCopy(join(place, "log"), log.first, {
      files: order.files,
      jobId,
      fileSizeBytes: LOG_FILE_BYTES,
    });
    try {
      restored = await download.log(run, { needed: log, copy });
    } finally {
      copy.close();
    }
    copy.tidy();
    const { id: term } = currentTerm(contents.owner);
    const seen = { to: store.address, term, last: stored, end: restored.last };
    writeFolderNote(place, { folder: null, restored: seen }, order.files);
  });
  const beyond = stored > restored.last ? { from: restored.last + 1, to: stored } : null;
  const { number } = name;
  return { ...restored, dataFolder, movedTables, shipment, number, beyond, from: store.address };
}

async function readContents(store: ObjectStore): Promise<Contents> {
  const [bytes, listed] = await Promise.all([store.get(OWNER_KEY, NOTE_BYTES_MAX), store.list("")]);
  if (bytes === null)
    throw new StoreError(
      "refused",
      `${store.address} holds nothing that Millrace shipped (there is no ${OWNER_KEY}): write the prefix as ship.to has it`,
    );
  const owner = decodeOwner(bytes, `${store.address}/${OWNER_KEY}`);
  const names = listed.flatMap(({ key }) => readShipmentKey(key) ?? []);
  return {
    owner,
    segments: listed.flatMap(({ key }) => readSegmentKey(key) ?? []),
    shipments: countedShipments(names, owner.terms),
  };
}

function choose({ shipments }: Contents, { store, number }: ShipRestoreOrder): ShipmentName {
  const [newest] = shipments;
  if (newest === undefined)
    throw new StoreError(
      "refused",
      `${store.address} holds no whole shipment: the first one was not finished, nothing can be restored from there`,
    );
  if (number === null) return newest;
  const named = shipments.find((one) => one.number === number);
  if (named !== undefined) return named;
  throw new StoreError(
    "refused",
    `${store.address} has no shipment ${number}: it has ${shipments.map((one) => one.number).join(", ")}`,
  );
}

/** What to do when this shipment cannot be restored. */
function otherAdvice({ shipments }: Contents, name: ShipmentName): string {
  const other = shipments[shipments.indexOf(name) + 1];
  return other === undefined
    ? ". There is no older shipment"
    : `. The shipment before it may be whole: restore again with --shipment ${other.number}`;
}

/** Damage is told with what to do; a store that is away is not. */
function withAdvice(advice: string): (error: unknown) => never {
  return (error) => {
    if (!(error instanceof StoreError) || error.fault !== "damaged") throw error;
    throw new StoreError(error.fault, error.message + advice);
  };
}

async function fetchShipment(store: ObjectStore, { key }: ShipmentName): Promise<Shipment> {
  const name = `${store.address}/${key}`;
  const bytes = await store.get(key, NOTE_BYTES_MAX);
  if (bytes === null) throw new StoreError("damaged", `${name} is gone`);
  return decodeShipment(bytes, name);
}

function bytesOf({ files }: Shipment): number {
  return files.flatMap(({ chunks }) => chunks).reduce((sum, { bytes }) => sum + bytes, 0);
}

interface RestoredLog {
  readonly last: number;
  readonly lastReceivedAtUs: number;
  readonly damage: string | null;
}

class Download {
  readonly #order: ShipRestoreOrder;
  readonly #advice: string;
  readonly #allBytes: number;
  #bytes = 0;

  constructor(order: ShipRestoreOrder, advice: string, allBytes: number) {
    this.#order = order;
    this.#advice = advice;
    this.#allBytes = allBytes;
  }

  /** All files of the shipment, one after the other; their chunks come ahead. */
  async files(shipment: Shipment, place: string): Promise<void> {
    const { files } = this.#order;
    const wanted = shipment.files.filter(({ path }) => path !== CONFIGURATION_NAME);
    const chunks = wanted.flatMap((file) => file.chunks);
    const fetched = inOrder(chunks, DOWNLOADS_MAX, (chunk) => untilWhole(() => this.#chunk(chunk)));
    try {
      for (const file of wanted) {
        const to = join(place, file.path);
        files.makeFolder(dirname(to));
        await this.#write(file, to, fetched);
      }
    } finally {
      await fetched.return(undefined);
    }
  }

  async #write(file: ShippedFile, to: string, fetched: AsyncGenerator<Uint8Array>): Promise<void> {
    const writer = this.#order.files.create(to, "restore.file.create");
    let isDone = false;
    try {
      for (const { bytes } of file.chunks) {
        const { value } = await fetched.next();
        writer.write(value as Uint8Array);
        this.#bytes += bytes;
        this.#order.tell(this.#bytes, this.#allBytes);
      }
      writer.finish("restore.file.sync");
      isDone = true;
    } finally {
      if (!isDone) writer.abandon("restore.file.abandon");
    }
  }

  async #chunk({ sha256, bytes, rawBytes }: Chunk): Promise<Uint8Array> {
    const { store } = this.#order;
    const name = `${store.address}/${chunkKey(sha256)}`;
    const stored = await store
      .get(chunkKey(sha256), bytes, DOWNLOADS_MAX)
      .catch(withAdvice(this.#advice));
    if (stored === null) throw new StoreError("damaged", `${name} is missing${this.#advice}`);
    if (stored.length !== bytes || sha256Of(stored) !== sha256)
      throw new StoreError(
        "damaged",
        `${name} is damaged (its SHA-256 does not fit)${this.#advice}`,
      );
    if (rawBytes === undefined) return stored;
    try {
      return decompressForeign(stored, rawBytes);
    } catch (error) {
      throw new StoreError("damaged", `${name} is damaged (${String(error)})${this.#advice}`);
    }
  }

  /** The run's records. Those behind `needed.last` end at the first segment that is damaged. */
  async log(
    run: Run,
    {
      needed,
      copy,
    }: {
      readonly needed: { readonly first: number; readonly last: number };
      readonly copy: LogCopy;
    },
  ): Promise<RestoredLog> {
    let next = needed.first;
    let lastReceivedAtUs = 0;
    const fetched = inOrder(run.segments, DOWNLOADS_MAX, ({ segment, end }) =>
      untilWhole(() => this.#segment(segment)).then((records) =>
        records.filter((record) => record.position < end),
      ),
    );
    try {
      for await (const records of fetched) {
        const fresh = records.filter(({ position }) => position >= next);
        copy.append(fresh);
        next = (fresh.at(-1)?.position ?? next - 1) + 1;
        lastReceivedAtUs = fresh.at(-1)?.receivedAtUs ?? lastReceivedAtUs;
      }
    } catch (error) {
      const isDamage = error instanceof StoreError && error.fault === "damaged";
      if (!isDamage || next <= needed.last) return withAdvice(this.#advice)(error);
      return { last: next - 1, lastReceivedAtUs, damage: error.message };
    }
    return { last: next - 1, lastReceivedAtUs, damage: null };
  }

  async #segment(segment: Segment): Promise<EncodedRecord[]> {
    const { store } = this.#order;
    const name = `${store.address}/${segment.key}`;
    const bytes = await store.get(segment.key, SEGMENT_BYTES_MAX, DOWNLOADS_MAX);
    if (bytes === null) throw new StoreError("damaged", `${name} is missing`);
    return decodeSegment(segment, bytes, name);
  }
}

/** Reads an object again that is not what was put there: it may have been cut on the way, and what follows a damaged segment is given up. */
async function untilWhole<T>(read: () => Promise<T>): Promise<T> {
  for (let left = REQUEST_TRIES - 1; ; left--)
    try {
      return await read();
    } catch (error) {
      if (left === 0 || !(error instanceof StoreError) || error.fault !== "damaged") throw error;
    }
}
