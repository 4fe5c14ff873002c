// Zstandard for what Millrace keeps on disk of its own (log records, checkpoint pages). Owns the level and when it pays. Bodies of
// producers and Parquet pages have their own rules.
import { zstdDecompressSync } from "node:zlib";

/** Below this a frame and a call cost more than they save. */
const COMPRESS_BYTES_MIN = 256;
/** Level 1: 1.3 ns for each byte that does not repeat. Level 3 costs a third to twice more time for a tenth fewer bytes. */
const ZSTD = { level: 1 } as const;
/** Least of what zlib takes for the room that it asks for at a time. */
const CHUNK_BYTES_MIN = 64;

/** One zstd frame of `raw`, or null when there are few bytes or a frame would not be an eighth smaller. `raw` may be shared memory. */
export function compressIfItPays(raw: Uint8Array): Uint8Array | null {
  if (raw.length < COMPRESS_BYTES_MIN) return null;
  const frame = Bun.zstdCompressSync(raw, ZSTD);
  return frame.length <= raw.length - (raw.length >>> 3) ? plainBytes(frame) : null;
}

/** The bytes of a frame, in memory of their own. Throws Error when it is not one frame of `rawBytes` bytes. */
export function decompress(frame: Uint8Array, rawBytes: number): Uint8Array {
  const raw = plainBytes(Bun.zstdDecompressSync(frame));
  if (raw.length !== rawBytes)
    throw new Error(`${raw.length} bytes decompressed where ${rawBytes} were written`);
  return raw;
}

/** As `decompress`, for a frame that came from elsewhere: no more than `rawBytes` are ever made of it. Slower: a copy more. */
export function decompressForeign(frame: Uint8Array, rawBytes: number): Uint8Array {
  const limits = { maxOutputLength: rawBytes, chunkSize: Math.max(rawBytes, CHUNK_BYTES_MIN) };
  const raw = plainBytes(zstdDecompressSync(frame, limits));
  if (raw.length !== rawBytes)
    throw new Error(`${raw.length} bytes decompressed where ${rawBytes} were written`);
  return raw;
}

/** Bun answers Buffers, whose `slice` does not copy: a plain view of the same bytes. */
function plainBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
