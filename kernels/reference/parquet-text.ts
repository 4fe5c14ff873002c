// Plain twins of assembly/export/text.ts and dictionary.ts: strings as Parquet writes them, dictionaries as maps.
import { packBits, varintBytes } from "./parquet-levels.ts";

/** Length-prefixed UTF-8 of the strings. */
export function copyPlain(strings: readonly string[], rows: readonly number[]): number[] {
  return rows.flatMap((row) => {
    const bytes = Buffer.from(strings[row] ?? "", "utf8");
    return [...Buffer.from(Uint32Array.of(bytes.length).buffer), ...bytes];
  });
}

export function copyCoded(
  codes: readonly number[],
  entries: readonly string[],
  rows: readonly number[],
): number[] {
  return copyPlain(
    codes.map((code) => entries[code] ?? ""),
    rows,
  );
}

export function plainBytes(strings: readonly string[], rows: readonly number[]): number {
  return copyPlain(strings, rows).length;
}

export function codedBytes(
  codes: readonly number[],
  entries: readonly string[],
  rows: readonly number[],
): number {
  return copyCoded(codes, entries, rows).length;
}

/** A column chunk's dictionary: codes in the order in which strings are met. */
export type ReferenceDictionary = Map<string, number>;

function codeOf(dictionary: ReferenceDictionary, text: string): number {
  const known = dictionary.get(text);
  if (known !== undefined) return known;
  dictionary.set(text, dictionary.size);
  return dictionary.size - 1;
}

/** Codes of the rows of a dictionary column; entries that a row names are added in the order of the image's dictionary. */
export function dictionaryMerge(
  dictionary: ReferenceDictionary,
  column: { readonly codes: readonly number[]; readonly entries: readonly string[] },
  rows: readonly number[],
): number[] {
  const used = new Set(rows.map((row) => column.codes[row] ?? 0));
  const map = column.entries.map((entry, code) => (used.has(code) ? codeOf(dictionary, entry) : 0));
  return rows.map((row) => map[column.codes[row] ?? 0] ?? 0);
}

/** Codes of the rows of a plain column. */
export function dictionaryAddRows(
  dictionary: ReferenceDictionary,
  strings: readonly string[],
  rows: readonly number[],
): number[] {
  return rows.map((row) => codeOf(dictionary, strings[row] ?? ""));
}

/** A byte with the width, then one bit-packed run. */
export function packCodes(codes: readonly number[], width: number): number[] {
  const groups = Math.ceil(codes.length / 8);
  const padded = [...codes, ...Array<number>(groups * 8 - codes.length).fill(0)];
  const bits = padded.flatMap((code) =>
    Array.from({ length: width }, (_, bit) => Math.floor(code / 2 ** bit) % 2 === 1),
  );
  return [width, ...varintBytes(groups * 2 + 1), ...packBits(bits)];
}
