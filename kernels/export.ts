// What the host may call in the `export` module, with units. All functions are synchronous and work on the module's own memory.
// "rows" is the address of u32 row ordinals of which [from, from + count) are meant, or 0: then from..from+count are the ordinals.
import { instantiate, type KernelInstance } from "./host.ts";

/** Exports of build/export.wasm. Addresses are byte offsets into the module's memory; what each does: assembly/export/. */
export interface ExportKernels {
  pickValid(
    validity: number,
    rows: number,
    from: number,
    count: number,
    levels: number,
    levelAt: number,
    picked: number,
  ): number;
  setLevels(levels: number, levelAt: number, count: number): void;
  encodeLevels(levels: number, rows: number, valid: number, to: number): number;
  daySpan(times: number, count: number, to: number): void;
  selectDay(times: number, count: number, day: bigint, to: number, next: number): number;
  copyFixed4(values: number, rows: number, from: number, count: number, to: number): void;
  copyFixed8(values: number, rows: number, from: number, count: number, to: number): void;
  copySwapped16(values: number, rows: number, from: number, count: number, to: number): void;
  copyBits(
    values: number,
    rows: number,
    from: number,
    count: number,
    to: number,
    toBit: number,
  ): void;
  fillIndex(rows: number, from: number, count: number, to: number): void;
  fillZero(to: number, bytes: number): void;
  plainBytes(offsets: number, rows: number, from: number, count: number): number;
  codedBytes(codes: number, offsets: number, rows: number, from: number, count: number): number;
  copyPlain(
    offsets: number,
    text: number,
    rows: number,
    from: number,
    count: number,
    to: number,
  ): number;
  copyCoded(
    codes: number,
    offsets: number,
    text: number,
    rows: number,
    from: number,
    count: number,
    to: number,
  ): number;
  dictionaryClear(dictionary: number): void;
  dictionaryMove(from: number, to: number): void;
  markUsed(
    codes: number,
    entries: number,
    rows: number,
    from: number,
    count: number,
    used: number,
  ): void;
  /** 1, or 0 when the dictionary is full (what was added stays). */
  dictionaryMerge(
    dictionary: number,
    offsets: number,
    text: number,
    entries: number,
    used: number,
    map: number,
  ): number;
  /** 1, or 0 when the dictionary is full (what was added stays). */
  dictionaryAddRows(
    dictionary: number,
    offsets: number,
    text: number,
    rows: number,
    from: number,
    count: number,
    to: number,
  ): number;
  mapCodes(codes: number, map: number, rows: number, from: number, count: number, to: number): void;
  packCodes(codes: number, count: number, widthBits: number, to: number): number;
  boundsI32(page: number, count: number, to: number): void;
  boundsI64(page: number, count: number, to: number): void;
  boundsF32(page: number, count: number, to: number): number;
  boundsF64(page: number, count: number, to: number): number;
  boundsI128(page: number, count: number, to: number): void;
  boundsBits(page: number, count: number, to: number): void;
  boundsText(page: number, count: number, to: number): void;
}

/** An instance with a memory of its own of at most `bytesMax`. */
export function instantiateExport(
  wasm: Uint8Array | ArrayBuffer,
  bytesMax: number,
): KernelInstance<ExportKernels> {
  return instantiate<ExportKernels>(wasm, bytesMax);
}
