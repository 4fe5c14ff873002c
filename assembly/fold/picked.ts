// States of first and last: the value of one event of the group, NULL or not, with the event's place in the log. Records are folded in
// log order, so a group's own events need no comparison; states of two groups are merged by place.
import {
  PICKED_NULL,
  PICKED_VALUE,
  ROW_WINDOW_AT,
  STATE_FIRST_16,
  STATE_FIRST_8,
  STATE_FIRST_S,
  STATE_LAST_16,
  STATE_LAST_S,
} from "../../kernels/abi";
import { step, valid, validStep, values } from "./vector";
import { replaceText, storeText } from "./window";

/** Position of the record at hand, and the number of the chunk's first row in it. */
let position: u64 = 0;
let firstRow: u32 = 0;

/** Says where in the log the rows of the next `updateStates` are. Positions are whole numbers below 2^53. */
export function setPlace(recordPosition: f64, row: u32): void {
  position = <u64>recordPosition;
  firstRow = row;
}

/** Whether a state keeps one event's value. */
export function isPicked(kind: u32): bool {
  return kind >= <u32>STATE_FIRST_8 && kind <= <u32>STATE_LAST_S;
}

function isFirst(kind: u32): bool {
  return kind <= <u32>STATE_FIRST_S;
}

/** Stores a text in the room that the state has, or in new room of at least twice that. */
function storeTextValue(row: u32, state: u32, text: u32, bytes: u32): void {
  store<u32>(state, bytes, 16);
  if (bytes > load<u32>(state, 20)) {
    const capacity = max(bytes, max(<u32>16, load<u32>(state, 20) << 1));
    const room = replaceText(load<u32>(row, ROW_WINDOW_AT), load<u32>(state, 24), load<u32>(state, 20), capacity);
    store<u32>(state, capacity, 20);
    store<u32>(state, room, 24);
  }
  if (bytes > 0) storeText(load<u32>(state, 24), text, bytes);
}

/** `value` is the address of the value as kernels keep it: 8 or 16 bytes, or u32 address and u32 bytes of a text. */
function storeValue(kind: u32, row: u32, state: u32, value: u32): void {
  if (kind == STATE_FIRST_S || kind == STATE_LAST_S)
    storeTextValue(row, state, load<u32>(value), load<u32>(value, 4));
  else if (kind == STATE_FIRST_16 || kind == STATE_LAST_16) memory.copy(state + 16, value, 16);
  else store<u64>(state, load<u64>(value), 16);
}

/**
 * Adds `n` rows of the chunk, their numbers at `selected` and the rows of their groups at `rows`, to the states at `offset`. NULL counts:
 * register `arg`'s validity says what the value is, not whether the event is looked at.
 */
export function updatePicked(kind: u32, offset: u32, arg: u32, rows: u32, selected: u32, n: u32): void {
  const from = values(arg);
  const width = step(arg);
  const validAt = valid(arg);
  const validWidth = validStep(arg);
  const first = isFirst(kind);
  for (let j: u32 = 0; j < n; j++) {
    const row = load<u32>(rows + (j << 2));
    const state = row + offset;
    if (first && load<u32>(state) != 0) continue;
    const i = load<u32>(selected + (j << 2));
    const has = validAt == 0 || load<u8>(validAt + i * validWidth) != 0;
    store<u32>(state, has ? PICKED_VALUE : PICKED_NULL);
    store<u32>(state, firstRow + i, 4);
    store<u64>(state, position, 8);
    if (has) storeValue(kind, row, state, from + i * width);
  }
}

/** Merges the state at `from` (of another row) into the one at `offset` of `row`: the earlier (later) event's value stays. */
export function mergePicked(kind: u32, row: u32, offset: u32, from: u32): void {
  const state = row + offset;
  const tag = load<u32>(from);
  if (tag == 0) return;
  if (load<u32>(state) != 0) {
    const theirs = load<u64>(from, 8);
    const ours = load<u64>(state, 8);
    const before = theirs < ours || (theirs == ours && load<u32>(from, 4) < load<u32>(state, 4));
    if (before != isFirst(kind)) return;
  }
  store<u32>(state, tag);
  store<u32>(state, load<u32>(from, 4), 4);
  store<u64>(state, load<u64>(from, 8), 8);
  if (tag != PICKED_VALUE) return;
  if (kind == STATE_FIRST_S || kind == STATE_LAST_S)
    storeTextValue(row, state, load<u32>(from, 24), load<u32>(from, 16));
  else storeValue(kind, row, state, from + 16);
}
