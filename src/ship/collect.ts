// Verb: what is below a prefix -> what may go. Pure; the caller is the owner, and makes no shipment meanwhile.
import type { Kept } from "./claim.ts";
import { currentTerm, endOf, termNumber, type Owner } from "./owner.ts";
import { readSegmentKey } from "./segment.ts";
import { chunkKey, isChunkKey, readShipmentKey } from "./shipment.ts";

/** Keys that no kept shipment needs, manifests first: a shipment that lost a part would be worse than none. */
export function removableKeys(
  keys: readonly string[],
  kept: readonly Kept[],
  owner: Owner,
): string[] {
  const manifests = new Set(kept.map(({ name }) => name.key));
  const chunks = neededChunks(kept);
  const logFirst = Math.min(...kept.map(({ shipment }) => shipment.log.first));
  const isRemovable = (key: string): boolean => {
    if (isChunkKey(key)) return !chunks.has(key);
    const segment = readSegmentKey(key);
    const term = segment?.term ?? readShipmentKey(key)?.term;
    // of somebody who has taken over, of whom this process hears at its next look
    if (term === undefined || termNumber(term) > termNumber(currentTerm(owner).id)) return false;
    if (segment === null) return !manifests.has(key);
    return segment.last < logFirst || segment.first >= (endOf(term, owner.terms) ?? 0);
  };
  const order = (key: string): number => (readShipmentKey(key) === null ? 1 : 0);
  return keys.filter(isRemovable).toSorted((a, b) => order(a) - order(b));
}

/** Keys of the chunks that shipments are made of. */
export function neededChunks(kept: readonly Kept[]): Set<string> {
  const chunks = kept.flatMap(({ shipment }) => shipment.files.flatMap((file) => file.chunks));
  return new Set(chunks.map(({ sha256 }) => chunkKey(sha256)));
}
