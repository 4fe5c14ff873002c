// Owns the hashes of the id column of a batch image, when admission is rebuilt from the log. Live batches bring hashes from decode,
// which hashes the same bytes: the UTF-8 text of an id, or the 8 little-endian bytes of an integer. Twin: kernels/reference/hashids.ts.
import {
  COLUMN_DICT_COUNT_AT,
  COLUMN_DICT_OFFSETS_AT,
  COLUMN_ENCODING_AT,
  COLUMN_PHYSICAL_AT,
  COLUMN_TEXT_AT,
  COLUMN_VALUES_AT,
  COLUMN_BYTES,
  ENCODING_DICTIONARY,
  IMAGE_HEADER_BYTES,
  IMAGE_ROWS_AT,
  PHYSICAL_I32,
  PHYSICAL_UTF8,
} from "../../kernels/abi";
import { sipHash128 } from "../base/siphash";

const integer = memory.data(8);

/** Writes 16 bytes a row to `to` (in null rows anything). `entries` has room for 16 bytes a dictionary entry. */
export function hashIds(image: usize, column: u32, k0: u64, k1: u64, to: usize, entries: usize): void {
  const rows = load<u32>(image, IMAGE_ROWS_AT);
  const descriptor = image + IMAGE_HEADER_BYTES + <usize>column * COLUMN_BYTES;
  const values: usize = image + load<u32>(descriptor, COLUMN_VALUES_AT);
  const stored = load<u32>(descriptor, COLUMN_VALUES_AT) != 0;
  const physical = <u32>load<u8>(descriptor, COLUMN_PHYSICAL_AT);
  const text: usize = image + load<u32>(descriptor, COLUMN_TEXT_AT);
  if (physical != PHYSICAL_UTF8) {
    for (let row: u32 = 0; row < rows; row++) {
      let value: i64 = 0;
      if (stored) {
        if (physical == PHYSICAL_I32) value = load<i32>(values + (<usize>row << 2));
        else value = load<i64>(values + (<usize>row << 3));
      }
      store<i64>(integer, value);
      sipHash128(integer, 8, k0, k1, to + (<usize>row << 4));
    }
  } else if (load<u8>(descriptor, COLUMN_ENCODING_AT) == ENCODING_DICTIONARY) {
    const count = load<u32>(descriptor, COLUMN_DICT_COUNT_AT);
    hashTexts(text, image + load<u32>(descriptor, COLUMN_DICT_OFFSETS_AT), count, k0, k1, entries);
    for (let row: u32 = 0; row < rows; row++) {
      const code = stored ? load<u32>(values + (<usize>row << 2)) : 0;
      if (code < count) v128.store(to + (<usize>row << 4), v128.load(entries + (<usize>code << 4)));
    }
  } else if (stored) hashTexts(text, values, rows, k0, k1, to);
  else for (let row: u32 = 0; row < rows; row++) sipHash128(text, 0, k0, k1, to + (<usize>row << 4));
}

function hashTexts(text: usize, offsets: usize, count: u32, k0: u64, k1: u64, to: usize): void {
  for (let i: u32 = 0; i < count; i++) {
    const from = load<u32>(offsets + (<usize>i << 2));
    const bytes = load<u32>(offsets + (<usize>i << 2), 4) - from;
    sipHash128(text + from, bytes, k0, k1, to + (<usize>i << 4));
  }
}
