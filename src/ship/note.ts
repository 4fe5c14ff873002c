// Nouns' envelope: a small JSON text with format, version and checksum, as savepoint.json has them. What it means is its owner's.
import { StoreError } from "./store.ts";

/** Format of everything below a prefix: counted up when a program that knows only the older one could not restore it. */
export const SHIP_VERSION = 1;

const FORMAT = "millrace-ship";

function checksumOf(kind: string, value: unknown): string {
  return new Bun.CryptoHasher("sha256").update(JSON.stringify([kind, value])).digest("hex");
}

/** `kind` says which note it is: "owner", "shipment", "folder". */
export function encodeNote(kind: string, value: unknown): Uint8Array {
  const note = {
    format: FORMAT,
    version: SHIP_VERSION,
    kind,
    checksum: checksumOf(kind, value),
    value,
  };
  return new TextEncoder().encode(`${JSON.stringify(note)}\n`);
}

/** The value as it was encoded. Throws StoreError for what is damaged, another kind's, or of a version that is not known. `name`: for messages. */
export function decodeNote(kind: string, bytes: Uint8Array, name: string): unknown {
  let note: Readonly<Record<string, unknown>> | null;
  try {
    note = JSON.parse(new TextDecoder().decode(bytes)) as typeof note;
  } catch {
    throw damaged(name, "it is not JSON");
  }
  if (note?.["format"] !== FORMAT || note["kind"] !== kind)
    throw damaged(name, "it is not what Millrace writes there");
  if (note["version"] !== SHIP_VERSION)
    throw new StoreError(
      "damaged",
      `${name} is of format ${String(note["version"])}, this release knows ${SHIP_VERSION}: use the release that wrote it`,
    );
  if (note["checksum"] !== checksumOf(kind, note["value"]))
    throw damaged(name, "its checksum does not fit");
  return note["value"];
}

function damaged(name: string, why: string): StoreError {
  return new StoreError("damaged", `${name} is damaged (${why})`);
}
