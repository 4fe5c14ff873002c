// Verb: a request's body -> at most `bytesMax` plain bytes. Bounds what a sender can make us hold: by its declared length, while a
// body of unknown length streams in, and while it is decompressed (a gzip bomb is stopped at the bound, not after it).
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { GZIP_FAST_BYTES_MAX } from "../limits.ts";
import type { Refusal } from "./deps.ts";
import { refuse } from "./problem.ts";

function tooLarge(bytesMax: number, what: string): Refusal {
  return {
    ...refuse(
      413,
      "body_too_large",
      `${what} is larger than ${bytesMax} bytes; send it in several requests`,
    ),
    more: { bytes_max: bytesMax },
  };
}

/** A body without a declared length, read until it ends or passes the bound. */
async function readChunks(
  stream: ReadableStream<Uint8Array>,
  bytesMax: number,
): Promise<Uint8Array | Refusal> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    bytes += value.length;
    if (bytes > bytesMax) {
      await reader.cancel();
      return tooLarge(bytesMax, "the body");
    }
    chunks.push(value);
  }
  return Buffer.concat(chunks, bytes);
}

/** The length in bytes of the zstd frame at `at` (RFC 8878), or null when it is cut short or none. */
function zstdFrameBytes(body: Uint8Array, at: number): number | null {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const has = (end: number): boolean => end <= body.length;
  if (!has(at + 8)) return null;
  const magic = view.getUint32(at, true);
  if (magic >>> 4 === 0x0184d2a5) {
    const end = at + 8 + view.getUint32(at + 4, true);
    return has(end) ? end - at : null;
  }
  if (magic !== 0xfd2fb528) return null;
  const descriptor = view.getUint8(at + 4);
  const single = (descriptor & 0x20) !== 0;
  const sizeBytes = [single ? 1 : 0, 2, 4, 8][descriptor >>> 6] ?? 0;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  let next = at + 5 + (single ? 0 : 1) + dictionaryBytes + sizeBytes;
  for (;;) {
    if (!has(next + 3)) return null;
    const header = view.getUint16(next, true) | (view.getUint8(next + 2) << 16);
    const runLength = ((header >>> 1) & 3) === 1;
    next += 3 + (runLength ? 1 : header >>> 3);
    if ((header & 1) === 1) break;
  }
  if ((descriptor & 4) !== 0) next += 4;
  return has(next) ? next - at : null;
}

/** Whether the bytes are whole zstd frames: the library takes a truncated last frame for an end. */
function isWholeZstd(body: Uint8Array): boolean {
  let at = 0;
  while (at < body.length) {
    const bytes = zstdFrameBytes(body, at);
    if (bytes === null) return false;
    at += bytes;
  }
  return body.length > 0;
}

function inflate(body: Uint8Array, encoding: "gzip" | "zstd", bytesMax: number): Uint8Array {
  const bound = { maxOutputLength: bytesMax };
  if (encoding === "gzip")
    return body.length <= GZIP_FAST_BYTES_MAX && body.length > 0
      ? Bun.gunzipSync(body as Uint8Array<ArrayBuffer>)
      : gunzipSync(body, bound);
  if (!isWholeZstd(body)) throw new Error("it ends early or is not zstd");
  return zstdDecompressSync(body, bound);
}

function decompress(
  body: Uint8Array,
  encoding: "gzip" | "zstd",
  bytesMax: number,
): Uint8Array | Refusal {
  try {
    const plain = inflate(body, encoding, bytesMax);
    return plain.length > bytesMax ? tooLarge(bytesMax, "the decompressed body") : plain;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ERR_BUFFER_TOO_LARGE")
      return tooLarge(bytesMax, "the decompressed body");
    const why = error instanceof Error ? error.message : String(error);
    return refuse(400, "bad_compression", `the body is not valid ${encoding}: ${why}`);
  }
}

/**
 * The whole body of a request, decompressed. Refusals: 413 (too large), 415 (unknown Content-Encoding), 400 (broken compression, or
 * the sender hung up half-way).
 */
export async function readBody(request: Request, bytesMax: number): Promise<Uint8Array | Refusal> {
  const { headers } = request;
  const encoding = headers.get("content-encoding");
  const known =
    encoding === null || encoding === "identity" || encoding === "gzip" || encoding === "zstd";
  if (!known)
    return refuse(
      415,
      "unknown_encoding",
      `Content-Encoding ${JSON.stringify(encoding)} is not understood; send gzip, zstd or none`,
    );
  const length = headers.get("content-length");
  if (length !== null && Number(length) > bytesMax) return tooLarge(bytesMax, "the body");
  let body: Uint8Array | Refusal;
  try {
    body =
      length === null && request.body !== null
        ? await readChunks(request.body, bytesMax)
        : await request.bytes();
  } catch {
    return refuse(
      400,
      "body_incomplete",
      "the connection ended before the body did; send it again",
    );
  }
  if (encoding === null || encoding === "identity" || "kind" in body) return body;
  return decompress(body, encoding, bytesMax);
}
