// The days on which the rows of a batch image lie, without the export memory: so that rows of too many days are known before any is
// encoded. Reads one column of the image.
import {
  COLUMN_BYTES,
  COLUMN_VALUES_AT,
  IMAGE_HEADER_BYTES,
  IMAGE_ROWS_AT,
} from "../../kernels/abi.ts";
import { EPOCH_DAYS_MAX } from "../limits.ts";

const WORD = 2 ** 32;
const US_PER_DAY = 86_400_000_000;

/** High words of times whose microseconds a JS number holds exactly. */
const EXACT_HIGH_MAX = 2 ** 20;

/** Times as words, low then high: the column's values in the image, copied only when they are not aligned. */
function timeWords(image: Uint8Array, at: number, rowCount: number): Int32Array {
  const start = image.byteOffset + at;
  if (start % 4 === 0) return new Int32Array(image.buffer, start, rowCount * 2);
  return new Int32Array(image.slice(at, at + rowCount * 8).buffer);
}

/**
 * Adds the days since the epoch of column `ordinal` (TIMESTAMPTZ without nulls) to `days`: every day that has a row, and where rows span few
 * days some next to them. Measured on a busy machine: 2 ns a row, 17 where they span more than EPOCH_DAYS_MAX days.
 */
export function addImageDays(image: Uint8Array, ordinal: number, days: Set<number>): void {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const rowCount = view.getUint32(IMAGE_ROWS_AT, true);
  if (rowCount === 0) return;
  const values = view.getUint32(
    IMAGE_HEADER_BYTES + ordinal * COLUMN_BYTES + COLUMN_VALUES_AT,
    true,
  );
  if (values === 0) {
    days.add(0);
    return;
  }
  const words = timeWords(image, values, rowCount);
  let low = words[1] ?? 0;
  let high = low;
  for (let at = 3; at < words.length; at += 2) {
    const word = words[at] ?? 0;
    if (word < low) low = word;
    else if (word > high) high = word;
  }
  const isExact = -EXACT_HIGH_MAX < low && high < EXACT_HIGH_MAX;
  const first = Math.floor((low * WORD) / US_PER_DAY);
  const last = Math.floor(((high + 1) * WORD) / US_PER_DAY);
  if (isExact && last - first <= EPOCH_DAYS_MAX)
    for (let day = first; day <= last; day++) days.add(day);
  else addEach(words, isExact, days);
}

function addEach(words: Int32Array, isExact: boolean, days: Set<number>): void {
  let previous = Number.NaN;
  for (let at = 0; at < words.length; at += 2) {
    const low = (words[at] ?? 0) >>> 0;
    const high = words[at + 1] ?? 0;
    const day = isExact
      ? Math.floor((high * WORD + low) / US_PER_DAY)
      : bigDay((BigInt(high) << 32n) + BigInt(low));
    if (day !== previous) days.add(day);
    previous = day;
  }
}

function bigDay(us: bigint): number {
  const perDay = BigInt(US_PER_DAY);
  const day = us / perDay;
  return Number(us % perDay < 0n ? day - 1n : day);
}
