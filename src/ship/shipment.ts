// Nouns: the manifest of a shipment. A shipment is a savepoint whose files are chunks in the store and whose log is segments; the manifest, which is put there last,
// makes it one. See ARCHITECTURE.md.
import { foreignName, type Savepoint } from "../savepoint/manifest.ts";
import { decodeNote, encodeNote } from "./note.ts";
import { endOf, type Term } from "./owner.ts";
import { CHUNK_BYTES } from "./ship-limits.ts";
import { StoreError } from "./store.ts";

export const SHIPMENT_KEYS = "shipments/";
export const CHUNK_KEYS = "data/";

/** A piece of a file: one object, named by the SHA-256 of its bytes. */
export interface Chunk {
  readonly sha256: string;
  /** As it lies in the store. */
  readonly bytes: number;
  /** As it is in the file, where that is another number: the object is one zstd frame. */
  readonly rawBytes?: number;
}

export interface ShippedFile {
  /** Relative to the data folder. */
  readonly path: string;
  readonly bytes: number;
  readonly chunks: readonly Chunk[];
}

/** Everything of one moment. Its log is the segments from `log.first` to `log.last`. */
export interface Shipment extends Omit<Savepoint, "files"> {
  /** The id of the data folder that it is of: names of files that never change mean the same in all of its shipments. */
  readonly folder: string;
  readonly files: readonly ShippedFile[];
}

/** A shipment by its key: what is known without reading it. */
export interface ShipmentName {
  readonly key: string;
  /** Counted over the life of the prefix. */
  readonly number: number;
  readonly last: number;
  readonly term: string;
}

const KEY = /^shipments\/(\d{8,})-(\d{16})-(\d{6,}-[0-9a-f]{8})$/;

export const chunkKey = (sha256: string): string => CHUNK_KEYS + sha256;

/** Whether a key is that of a chunk: what else lies there is somebody else's. */
export const isChunkKey = (key: string): boolean => /^data\/[0-9a-f]{64}$/.test(key);

export function shipmentKey({ number, last, term }: Omit<ShipmentName, "key">): string {
  return `${SHIPMENT_KEYS}${String(number).padStart(8, "0")}-${String(last).padStart(16, "0")}-${term}`;
}

/** Null: the key is not a shipment's. */
export function readShipmentKey(key: string): ShipmentName | null {
  const [, number, last, term] = KEY.exec(key) ?? [];
  if (term === undefined) return null;
  return { key, number: Number(number), last: Number(last), term };
}

/** Those that belong to the log as it went on, newest first: one of a term that another took over from is left out where that begins before its end. Pure. */
export function countedShipments(
  named: readonly ShipmentName[],
  terms: readonly Term[],
): ShipmentName[] {
  return named
    .filter(({ term, last }) => last < (endOf(term, terms) ?? 0))
    .toSorted((a, b) => b.number - a.number || b.last - a.last);
}

export const encodeShipment = (shipment: Shipment): Uint8Array => encodeNote("shipment", shipment);

/** Throws StoreError for what is damaged, of another version, or names a path that is not a data folder's. */
export function decodeShipment(bytes: Uint8Array, name: string): Shipment {
  const shipment = decodeNote("shipment", bytes, name) as Shipment;
  const foreign = foreignName(shipment);
  if (foreign !== null)
    throw new StoreError("damaged", `${name} is damaged (it names ${JSON.stringify(foreign)})`);
  const odd = shipment.files.find((file) => !isOfChunks(file));
  if (odd !== undefined)
    throw new StoreError("damaged", `${name} is damaged (the chunks of ${odd.path} do not fit)`);
  return shipment;
}

/** Whether the chunks make the file, and none asks for more memory than it may. */
function isOfChunks({ bytes, chunks }: ShippedFile): boolean {
  const isSize = (size: number): boolean =>
    Number.isSafeInteger(size) && size > 0 && size <= CHUNK_BYTES;
  const sizes = chunks.map((chunk) => chunk.rawBytes ?? chunk.bytes);
  return (
    chunks.every((chunk) => isSize(chunk.bytes) && isChunkKey(chunkKey(chunk.sha256))) &&
    sizes.every(isSize) &&
    sizes.reduce((sum, size) => sum + size, 0) === bytes
  );
}
