// Verb: the groups of one window into another of the same layout.
import { KEY_COLUMN_BYTES, STATE_COUNT } from "../../kernels/abi.ts";
import type { RowLayout } from "./layout.ts";
import type { FoldMemory } from "./memory.ts";

const STATE_PLACE_BYTES = 8;

/** Merges the groups of window `from` into those of window `to`; all that a row of `to` gets is a function of both. */
export function mergeWindow(
  memory: FoldMemory,
  { keys, states, rowBytes, revision }: RowLayout,
  { from, to }: { readonly from: number; readonly to: number },
): void {
  const { mark, data } = memory;
  const keysAt = keyPlaces(memory, { keys });
  // Numbers of late events add up as counts do.
  const places = revision === null ? [] : [{ kind: STATE_COUNT, offset: revision }];
  const merged = [...states, ...places];
  const statesAt = memory.take(merged.length * STATE_PLACE_BYTES);
  merged.forEach(({ kind, offset }, index) => {
    data.setUint32(statesAt + index * STATE_PLACE_BYTES, kind, true);
    data.setUint32(statesAt + index * STATE_PLACE_BYTES + 4, offset, true);
  });
  memory.call.mergeGroups(from, to, keysAt, keys.length, statesAt, merged.length, rowBytes);
  memory.rewind(mark);
}

/** Keys for kernels that read rows, in scratch: offsets and kinds, without registers. */
export function keyPlaces(memory: FoldMemory, { keys }: Pick<RowLayout, "keys">): number {
  const { data } = memory;
  const at = memory.take(keys.length * KEY_COLUMN_BYTES);
  keys.forEach(({ offset, kind }, index) => {
    data.setUint32(at + index * KEY_COLUMN_BYTES, offset, true);
    data.setUint32(at + index * KEY_COLUMN_BYTES + 4, kind, true);
  });
  return at;
}
