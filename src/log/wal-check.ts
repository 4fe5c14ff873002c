// Verb: the -wal of the newest log file -> whether a crash explains its end. SQLite takes the first frame with a wrong checksum for the
// torn end of the file and drops all behind it without a word: right after a crash, fatal after a flipped bit. Reads only; SQLite itself
// recovers what is sound. Format: https://www.sqlite.org/fileformat.html#the_write_ahead_log
import { closeSync, existsSync, fstatSync, openSync, readSync } from "node:fs";
import { LOG_PAGE_BYTES } from "../limits.ts";
import { LogFolderError } from "./log.ts";

const HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
/** 0x377f0682: checksums of little-endian words; with the last bit set of big-endian ones. */
const MAGIC = 0x377f0682;
const CHECKED_HEADER_BYTES = 24;
const CHECKED_FRAME_HEADER_BYTES = 8;
/** Frames read at a time: 4 MB of 8 KB pages. */
const FRAMES_PER_READ = 512;

/** Running checksum of a -wal: two words of 32 bits, Fletcher's sum with weights. */
interface Sum {
  first: number;
  second: number;
}

/** What the header says; damaged ones are taken to say what our files always say. */
interface Header {
  readonly isSound: boolean;
  readonly isLittleEndian: boolean;
  readonly pageBytes: number;
  /** Those of every frame; null when the header is damaged: then those of the first frame count. */
  readonly salts: readonly [number, number] | null;
  readonly sum: Sum;
}

/**
 * Throws LogFolderError when a synced transaction lies behind a broken one. The log syncs each transaction before it writes the next, so
 * a crash breaks the last one only; what an earlier crash left behind the end does not continue the checksums before it. Damage to the
 * last transaction itself cannot be told from a crash. 70 ms for 140 MB.
 */
export function checkWalEnd(path: string): void {
  if (!existsSync(path)) return;
  const file = openSync(path, "r");
  try {
    const damagedFrame = findDamage(file);
    if (damagedFrame !== null)
      throw new LogFolderError(
        `${path} is damaged at frame ${damagedFrame}, and synced records lie behind it that SQLite would drop. Copy the data folder ` +
          "aside, check the disk, and restore the folder from a backup",
      );
  } finally {
    closeSync(file);
  }
}

/** The first frame (from 1) that breaks the checksums, when an intact transaction follows a commit behind it; else null. */
function findDamage(file: number): number | null {
  const lengthBytes = fstatSync(file).size;
  if (lengthBytes < HEADER_BYTES) return null;
  const header = readHeader(file);
  const frameBytes = FRAME_HEADER_BYTES + header.pageBytes;
  const frames = Math.floor((lengthBytes - HEADER_BYTES) / frameBytes);
  const buffer = new DataView(new ArrayBuffer(FRAMES_PER_READ * frameBytes));
  const scan = new FrameScan(header);
  for (let frame = 0; frame < frames; frame += FRAMES_PER_READ) {
    const count = Math.min(FRAMES_PER_READ, frames - frame);
    const got = readSync(file, buffer, 0, count * frameBytes, HEADER_BYTES + frame * frameBytes);
    for (let at = 0; at + frameBytes <= got; at += frameBytes)
      if (scan.take(buffer, at)) return scan.brokenFrame;
  }
  return null;
}

function readHeader(file: number): Header {
  const header = new DataView(new ArrayBuffer(HEADER_BYTES));
  readSync(file, header, 0, HEADER_BYTES, 0);
  const magic = header.getUint32(0);
  const isLittleEndian = magic !== MAGIC + 1;
  const sum: Sum = { first: 0, second: 0 };
  addTo(sum, header, { at: 0, bytes: CHECKED_HEADER_BYTES, isLittleEndian });
  const isSound =
    (magic === MAGIC || magic === MAGIC + 1) &&
    header.getUint32(24) === sum.first &&
    header.getUint32(28) === sum.second;
  // 65,536 is written as 1
  const pageBytes = header.getUint32(8) === 1 ? 65_536 : header.getUint32(8);
  if (!isSound)
    return { isSound, isLittleEndian: true, pageBytes: LOG_PAGE_BYTES, salts: null, sum };
  const salts = [header.getUint32(16), header.getUint32(20)] as const;
  return { isSound, isLittleEndian, pageBytes, salts, sum };
}

/** Takes the frames in order. */
class FrameScan {
  readonly #header: Header;
  /** The checksum that the frame before stores; and whether that one ends a transaction. */
  #before: Sum;
  #isAfterCommit = false;
  #salts: readonly [number, number] | null;
  #frame = 0;
  /** Whether all frames of the transaction under way, which begins behind a commit, continue each other. */
  #isIntact = false;
  /** The first frame, from 1, that does not continue the checksums; null as long as all do, 0 for the header. */
  brokenFrame: number | null;

  constructor(header: Header) {
    this.#header = header;
    this.#before = header.sum;
    this.#salts = header.salts;
    this.brokenFrame = header.isSound ? null : 0;
  }

  /** Takes the frame at `at`. True when it ends an intact transaction behind a broken frame and a commit. */
  take(buffer: DataView, at: number): boolean {
    this.#frame++;
    const continues = this.#continues(buffer, at);
    if (!continues) this.brokenFrame ??= this.#frame;
    this.#isIntact = continues && (this.#isIntact || this.#isAfterCommit);
    const isCommit = buffer.getUint32(at + 4) !== 0;
    const found = this.brokenFrame !== null && this.#isIntact && isCommit;
    this.#before = { first: buffer.getUint32(at + 16), second: buffer.getUint32(at + 20) };
    this.#isAfterCommit = isCommit;
    if (isCommit) this.#isIntact = false;
    return found;
  }

  /** Whether the frame's checksum follows from the one stored before it, under the same salts. */
  #continues(buffer: DataView, at: number): boolean {
    const salts = [buffer.getUint32(at + 8), buffer.getUint32(at + 12)] as const;
    this.#salts ??= salts;
    if (salts[0] !== this.#salts[0] || salts[1] !== this.#salts[1]) return false;
    const { isLittleEndian, pageBytes } = this.#header;
    const sum = { ...this.#before };
    addTo(sum, buffer, { at, bytes: CHECKED_FRAME_HEADER_BYTES, isLittleEndian });
    addTo(sum, buffer, { at: at + FRAME_HEADER_BYTES, bytes: pageBytes, isLittleEndian });
    return sum.first === buffer.getUint32(at + 16) && sum.second === buffer.getUint32(at + 20);
  }
}

/** Adds `bytes` (a multiple of 8) to the checksum, as SQLite's walChecksumBytes. */
function addTo(
  sum: Sum,
  view: DataView,
  range: { readonly at: number; readonly bytes: number; readonly isLittleEndian: boolean },
): void {
  const { isLittleEndian } = range;
  const end = range.at + range.bytes;
  let first = sum.first | 0;
  let second = sum.second | 0;
  for (let at = range.at; at < end; at += 8) {
    first = (first + view.getInt32(at, isLittleEndian) + second) | 0;
    second = (second + view.getInt32(at + 4, isLittleEndian) + first) | 0;
  }
  sum.first = first >>> 0;
  sum.second = second >>> 0;
}
