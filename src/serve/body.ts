// Verb: a request's body -> at most `bytesMax` plain bytes. Bounds what a sender can make us hold: by its declared length, while the
// body comes in, and while it is decompressed (a gzip bomb is stopped at the bound, not after it); how long; and what all senders
// together can, while their bodies come in.
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { BODIES_BYTES_MAX, GZIP_FAST_BYTES_MAX, REQUEST_TIMEOUT_MS } from "./http-limits.ts";
import type { Refusal } from "./deps.ts";
import { refuse } from "./problem.ts";

/** How a member begins: magic number and the only method there is; and the fewest bytes of one. */
const GZIP_MEMBER_BEGIN = Buffer.from([0x1f, 0x8b, 8]);
const GZIP_BYTES_MIN = 18;

/** Why a request that did not come in whole is refused. */
export function tooSlow(timeoutMs: number): Refusal {
  return refuse(
    408,
    "request_too_slow",
    `the request did not come in whole within ${timeoutMs / 1000} s; send smaller ones, or compress them`,
  );
}

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

/** Bytes of all bodies that are coming in now. */
class BodyBytes {
  #bytes = 0;

  /** Counts bytes; false, and counts nothing, when there is no room for them. */
  reserve(bytes: number): boolean {
    if (this.#bytes + bytes > BODIES_BYTES_MAX) return false;
    this.#bytes += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#bytes -= bytes;
  }
}

/** Of every server in this process: its memory is one. */
export const incomingBodies = new BodyBytes();

function tooManyBodies(): Refusal {
  return {
    ...refuse(
      503,
      "too_many_bodies",
      `unfinished bodies hold ${BODIES_BYTES_MAX} bytes already; send it again later, or in smaller requests`,
    ),
    retryAfterS: 1,
  };
}

/** Reads until the body ends or passes a bound; what has come of it counts. */
async function readChunks(
  stream: ReadableStream<Uint8Array>,
  bytesMax: number,
  timeoutMs: number,
): Promise<Uint8Array | Refusal> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  let reserved = 0;
  const reader = stream.getReader();
  let isSlow = false;
  const timer = setTimeout(() => {
    isSlow = true;
    void reader.cancel();
  }, timeoutMs);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (isSlow) return tooSlow(timeoutMs);
      if (done) return Buffer.concat(chunks, bytes);
      bytes += value.length;
      if (bytes > bytesMax || !incomingBodies.reserve(value.length)) {
        await reader.cancel();
        return bytes > bytesMax ? tooLarge(bytesMax, "the body") : tooManyBodies();
      }
      reserved += value.length;
      chunks.push(value);
    }
  } finally {
    clearTimeout(timer);
    incomingBodies.release(reserved);
  }
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

/**
 * Bun's faster way for a small gzip body, or null: it ends at the end of the first member (RFC 1952) and is silent about what follows.
 * No member follows when none can begin, and nothing else when the last four bytes are the length of what came out.
 */
function inflateOneMember(body: Uint8Array): Uint8Array | null {
  if (body.length < GZIP_BYTES_MIN || body.length > GZIP_FAST_BYTES_MAX) return null;
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  if (bytes.indexOf(GZIP_MEMBER_BEGIN, 1) !== -1) return null;
  const plain = Bun.gunzipSync(body as Uint8Array<ArrayBuffer>);
  return bytes.readUInt32LE(bytes.length - 4) === plain.length ? plain : null;
}

/** Every member of a gzip body, one after another. Throws at an end too early, at other bytes after it, and beyond the bound. */
function inflateMembers(body: Uint8Array, bytesMax: number): Uint8Array {
  const options = { maxOutputLength: bytesMax, info: true };
  // What `info` adds is not in Node's types (https://nodejs.org/api/zlib.html#class-options).
  const { buffer, engine } = gunzipSync(body, options) as unknown as {
    readonly buffer: Buffer;
    readonly engine: { readonly bytesWritten: number };
  };
  if (engine.bytesWritten !== body.length) throw new Error("other bytes follow its end");
  return buffer;
}

function inflate(body: Uint8Array, encoding: "gzip" | "zstd", bytesMax: number): Uint8Array {
  if (encoding === "gzip") return inflateOneMember(body) ?? inflateMembers(body, bytesMax);
  if (!isWholeZstd(body)) throw new Error("it ends early or is not zstd");
  return zstdDecompressSync(body, { maxOutputLength: bytesMax });
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

/** The sender hung up. */
function incomplete(): Refusal {
  return refuse(400, "body_incomplete", "the connection ended before the body did; send it again");
}

/**
 * The whole body of a request, decompressed. Refusals: 408 (too slow), 413 (too large), 415 (unknown Content-Encoding), 400 (broken
 * compression, or the sender hung up half-way), 503 (unfinished bodies hold too much). Never rejects.
 */
export async function readBody(
  request: Request,
  bytesMax: number,
  timeoutMs = REQUEST_TIMEOUT_MS,
): Promise<Uint8Array | Refusal> {
  const encoding = request.headers.get("content-encoding")?.toLowerCase() ?? "identity";
  if (encoding !== "identity" && encoding !== "gzip" && encoding !== "zstd")
    return refuse(
      415,
      "unknown_encoding",
      `Content-Encoding ${JSON.stringify(encoding)} is not understood; send gzip, zstd or none`,
    );
  if (Number(request.headers.get("content-length")) > bytesMax)
    return tooLarge(bytesMax, "the body");
  if (request.body === null) return new Uint8Array(0);
  const body = await readChunks(request.body, bytesMax, timeoutMs).catch(incomplete);
  return "kind" in body || encoding === "identity" ? body : decompress(body, encoding, bytesMax);
}
