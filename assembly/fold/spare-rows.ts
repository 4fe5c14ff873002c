// Rows that were given back and are about to be taken again: as many as were taken between the last two turns of the wheel. They are a
// list of blocks of addresses, so taking one and telling which come next touches no page of rows; all others go back to their pages.
import {
  BLOCK_KIND_ROW,
  SPARE_ROWS_AT,
  SPARE_ROWS_COUNT_AT,
  SPARE_ROWS_MAX_AT,
  SPARE_ROWS_TAKEN_AT,
  WHEEL_BLOCK_BYTES,
  WHEEL_BLOCK_ROWS,
} from "../../kernels/abi";
import { giveBlock, giveBytes, lookAhead, nextBlock, takeBlock, takeBytes } from "./blocks";
import { touch } from "./pages";

function add(header: u32, at: u32, by: i32): void {
  store<u32>(header + at, load<u32>(header + at) + by);
  touch(header);
}

/** The row that was given back last; there is one. */
function pop(header: u32): u32 {
  const block = load<u32>(header, SPARE_ROWS_AT);
  const count = load<u32>(block, 4) - 1;
  const row = load<u32>(block + (count << 2), 8);
  if (count == 0) {
    store<u32>(header, load<u32>(block), SPARE_ROWS_AT);
    giveBytes(header, block, WHEEL_BLOCK_BYTES);
  } else {
    store<u32>(block, count, 4);
    touch(block);
  }
  add(header, SPARE_ROWS_COUNT_AT, -1);
  return row;
}

/** A row, not zeroed. */
export function takeRow(header: u32): u32 {
  add(header, SPARE_ROWS_TAKEN_AT, 1);
  return load<u32>(header, SPARE_ROWS_COUNT_AT) != 0 ? pop(header) : takeBlock(header, BLOCK_KIND_ROW);
}

/** How many of the rows that are given back next are kept. */
export function roomForSpareRows(header: u32): u32 {
  return load<u32>(header, SPARE_ROWS_MAX_AT) - load<u32>(header, SPARE_ROWS_COUNT_AT);
}

/** Gives a row back. */
export function giveRow(header: u32, row: u32): void {
  if (roomForSpareRows(header) == 0) return giveBlock(header, BLOCK_KIND_ROW, row);
  let block = load<u32>(header, SPARE_ROWS_AT);
  if (block == 0 || load<u32>(block, 4) == WHEEL_BLOCK_ROWS) {
    const fresh = takeBytes(header, WHEEL_BLOCK_BYTES);
    store<u32>(fresh, block);
    store<u32>(fresh, 0, 4);
    store<u32>(header, fresh, SPARE_ROWS_AT);
    block = fresh;
  }
  const count = load<u32>(block, 4);
  store<u32>(block + (count << 2), row, 8);
  store<u32>(block, count + 1, 4);
  touch(block);
  add(header, SPARE_ROWS_COUNT_AT, 1);
}

/** From now on as many rows are kept as were taken since the last call, but not more than `max`. Those that nobody took go back. */
export function keepSpareRows(header: u32, rowsMax: u32): void {
  while (load<u32>(header, SPARE_ROWS_COUNT_AT) != 0) giveBlock(header, BLOCK_KIND_ROW, pop(header));
  store<u32>(header, min(load<u32>(header, SPARE_ROWS_TAKEN_AT), rowsMax), SPARE_ROWS_MAX_AT);
  store<u32>(header, 0, SPARE_ROWS_TAKEN_AT);
  touch(header);
}

/** Lists at `to` the rows that `takeRow` will give, `n` u32; 0 = one that was never used. */
export function nextRows(header: u32, to: u32, n: u32): void {
  const end = to + (n << 2);
  for (let block = load<u32>(header, SPARE_ROWS_AT); block != 0; block = load<u32>(block))
    for (let count = load<u32>(block, 4); count > 0 && to < end; count--, to += 4) store<u32>(to, load<u32>(block + (count << 2), 4));
  lookAhead(header, BLOCK_KIND_ROW);
  for (; to < end; to += 4) store<u32>(to, nextBlock());
}
