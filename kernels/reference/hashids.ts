// Plain twin of assembly/admit/hashids.ts: the hash of an event id, from its value.
import { sipHash128 } from "./siphash.ts";

/** Hashes of ids: of the UTF-8 text, or of the 8 little-endian bytes of an integer; null for a null id. */
export function hashIds(
  ids: readonly (string | bigint | number | null)[],
  key: { readonly k0: bigint; readonly k1: bigint },
): (readonly [bigint, bigint] | null)[] {
  return ids.map((id) => {
    if (id === null) return null;
    if (typeof id === "string") return sipHash128(new TextEncoder().encode(id), key);
    return sipHash128(new Uint8Array(new BigInt64Array([BigInt(id)]).buffer), key);
  });
}
