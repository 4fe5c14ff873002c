// Verb: a data folder and a prefix -> the right to ship there. What decides is owner.ts; this fetches the facts, writes both notes, and looks again.
import { randomBytes, randomUUID } from "node:crypto";
import { join } from "node:path";
import { durablyAway } from "../base/failpoints.ts";
import type { Files } from "../base/files.ts";
import { logFolderOf, SHIP_NAME } from "../log/data-folder.ts";
import { logMoment } from "../savepoint/copy-log.ts";
import {
  currentTerm,
  decideClaim,
  decodeFolderNote,
  decodeOwner,
  encodeFolderNote,
  encodeOwner,
  nextTermId,
  OWNER_KEY,
  withTerm,
  notedTerms,
  type FolderNote,
  type Owner,
} from "./owner.ts";
import { differsAt } from "./lineage.ts";
import { lastStored, readSegmentKey, runFrom } from "./segment.ts";
import { NOTE_BYTES_MAX } from "./ship-limits.ts";
import {
  CHUNK_KEYS,
  isChunkKey,
  countedShipments,
  decodeShipment,
  readShipmentKey,
  type Shipment,
  type ShipmentName,
} from "./shipment.ts";
import { StoreError, type Listed, type ObjectStore } from "./store.ts";

/** Two would ship to one prefix: this one does not, for as long as the process lives. The message says which, and what to do. */
export class ClaimRefusedError extends Error {
  override readonly name = "ClaimRefusedError";
}

/** A data folder that ships. */
export interface ShippingFolder {
  readonly dataFolder: string;
  readonly jobId: string;
  readonly files: Files;
  readonly nowUs: () => number;
}

/** A shipment that is in the store. */
export interface Kept {
  readonly name: ShipmentName;
  readonly shipment: Shipment;
}

/** What the prefix had when it was claimed. */
export interface Claimed {
  readonly owner: Owner;
  /** From here on records are to be shipped; the store has those before it from `runFirst` on. */
  readonly next: number;
  readonly runFirst: number;
  /** The last position that a restore from the prefix gets; null: there is no shipment. */
  readonly restorable: number | null;
  /** Oldest first. */
  readonly kept: readonly Kept[];
  /** Highest number of a shipment, of any. */
  readonly lastNumber: number;
  /** SHA-256 of the chunks that are there. */
  readonly chunks: readonly string[];
}

/** Claims the prefix for this process. Rejects with ClaimRefusedError, StoreError; throws OS errors. */
export async function claimPrefix(store: ObjectStore, folder: ShippingFolder): Promise<Claimed> {
  const { dataFolder, jobId, files } = folder;
  const held = await store.get(OWNER_KEY, NOTE_BYTES_MAX);
  const owner = held === null ? null : decodeOwner(held, `${store.address}/${OWNER_KEY}`);
  const listed = await store.list("");
  const segments = listed.flatMap(({ key }) => readSegmentKey(key) ?? []);
  const terms = owner?.terms ?? [];
  const note = readFolderNote(dataFolder, files);
  const log = logMoment(logFolderOf(dataFolder), files);
  const stored = lastStored(segments, terms);
  const claim = decideClaim({
    address: store.address,
    jobId,
    last: log.last,
    note,
    owner,
    isUsed: listed.length > 0,
    stored,
  });
  if (claim.kind === "refuse") throw new ClaimRefusedError(claim.why);
  const end = claim.kind === "take over" ? claim.end : Infinity;
  const until = Math.min(stored, end);
  const differing = await differsAt(store, { segments, terms, until }, { log, jobId });
  if (differing !== null)
    throw new ClaimRefusedError(
      `${store.address} and this data folder hold different events at log position ${differing}: this is an older copy of the one that was shipped, and took events of its own since. Restore from the prefix to another folder and send there what only this one took, or name another prefix in ship.to`,
    );
  const next = Math.min(runFrom(log.first, segments, terms).last + 1, log.last + 1, end + 1);
  const id = note?.folder ?? randomUUID();
  const names = listed.flatMap(({ key }) => readShipmentKey(key) ?? []);
  const term = {
    id: nextTermId(owner, randomBytes(4).toString("hex")),
    from: next,
    beganAt: new Date(folder.nowUs() / 1000).toISOString(),
  };
  const restored = note?.restored ?? null;
  writeFolderNote(
    dataFolder,
    {
      folder: id,
      restored,
      claimed: {
        to: store.address,
        terms: notedTerms(note, store.address, { owner, term: term.id }),
      },
    },
    files,
  );
  const named = new Set([...segments, ...names].map((one) => one.term));
  const claimed: Owner = { jobId, folder: id, terms: withTerm(terms, term, named) };
  await durablyAway(files, "ship.owner.put", () => store.put(OWNER_KEY, encodeOwner(claimed)));
  await confirmOwner(store, claimed);
  const kept = await keptShipments(store, names, claimed);
  const newest = kept.at(-1)?.shipment;
  return {
    owner: claimed,
    next,
    runFirst: log.first,
    restorable:
      newest === undefined ? null : runFrom(newest.log.first, segments, claimed.terms).last,
    kept,
    lastNumber: Math.max(0, ...names.map(({ number }) => number)),
    chunks: chunksOf(listed),
  };
}

/** Rejects with ClaimRefusedError when another process has begun to ship there since. */
export async function confirmOwner(store: ObjectStore, owner: Owner): Promise<void> {
  const bytes = await store.get(OWNER_KEY, NOTE_BYTES_MAX);
  const name = `${store.address}/${OWNER_KEY}`;
  if (bytes === null)
    throw new ClaimRefusedError(
      `${name} was removed while this process ships there: what is below the prefix belongs to nobody. Remove the rest and start again, or name another prefix in ship.to`,
    );
  const found = decodeOwner(bytes, name);
  const { id, beganAt } = currentTerm(found);
  if (id === currentTerm(owner).id) return;
  throw new ClaimRefusedError(
    `another process ships to ${store.address} since ${beganAt} (a copy of this data folder, or one that was restored from there): this one no longer does, what it takes from now on is on this disk alone. Stop one of them`,
  );
}

/** Hexadecimal SHA-256 of the chunks in a listing. */
export function chunksOf(listed: readonly Listed[]): string[] {
  return listed.flatMap(({ key }) => (isChunkKey(key) ? key.slice(CHUNK_KEYS.length) : []));
}

/** One that is damaged is no shipment: it goes with those that are no longer kept. */
async function keptShipments(
  store: ObjectStore,
  names: readonly ShipmentName[],
  { terms }: Owner,
): Promise<Kept[]> {
  const kept: Kept[] = [];
  for (const name of countedShipments(names, terms).toReversed()) {
    try {
      const bytes = await store.get(name.key, NOTE_BYTES_MAX);
      if (bytes === null) continue;
      kept.push({ name, shipment: decodeShipment(bytes, name.key) });
    } catch (error) {
      if (!(error instanceof StoreError) || error.fault !== "damaged") throw error;
    }
  }
  return kept;
}

function readFolderNote(dataFolder: string, files: Files): FolderNote | null {
  const path = join(dataFolder, SHIP_NAME);
  return files.exists(path) ? decodeFolderNote(files.read(path), path) : null;
}

export function writeFolderNote(dataFolder: string, note: FolderNote, files: Files): void {
  const path = join(dataFolder, SHIP_NAME);
  const temporary = `${path}.tmp`;
  files.unlink(temporary, "ship.note.unlink");
  files.writeSynced(temporary, [encodeFolderNote(note)], "ship.note.write");
  files.renameOver(temporary, path, "ship.note.rename");
}
