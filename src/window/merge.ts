// Verb: the groups of one window into another of the same layout.
import { KEY_COLUMN_BYTES } from "../../kernels/abi.ts";
import type { RowLayout } from "./layout.ts";
import type { FoldMemory } from "./memory.ts";

const STATE_PLACE_BYTES = 8;

/** Merges the groups of window `from` into those of window `to`; all that a row of `to` gets is a function of both. */
export function mergeWindow(
  memory: FoldMemory,
  { keys, states, rowBytes }: RowLayout,
  { from, to }: { readonly from: number; readonly to: number },
): void {
  const { mark, data } = memory;
  const keysAt = memory.take(keys.length * KEY_COLUMN_BYTES);
  keys.forEach(({ offset, kind }, index) => {
    data.setUint32(keysAt + index * KEY_COLUMN_BYTES, offset, true);
    data.setUint32(keysAt + index * KEY_COLUMN_BYTES + 4, kind, true);
  });
  const statesAt = memory.take(states.length * STATE_PLACE_BYTES);
  states.forEach(({ kind, offset }, index) => {
    data.setUint32(statesAt + index * STATE_PLACE_BYTES, kind, true);
    data.setUint32(statesAt + index * STATE_PLACE_BYTES + 4, offset, true);
  });
  memory.call.mergeGroups(from, to, keysAt, keys.length, statesAt, states.length, rowBytes);
  memory.rewind(mark);
}
