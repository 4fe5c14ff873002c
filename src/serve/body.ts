// Verb: a request's body -> at most `bytesMax` plain bytes. Bounds what a sender can make us hold: by its declared length, while a
// body of unknown length streams in, and while it is decompressed (a gzip bomb is stopped at the bound, not after it); and what all
// senders together can, while their bodies come in.
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { BODIES_BYTES_MAX, BODY_AT_ONCE_BYTES_MAX, GZIP_FAST_BYTES_MAX } from "../limits.ts";
import type { Refusal } from "./deps.ts";
import { refuse } from "./problem.ts";

/** How a member begins: magic number and the only method there is; and the fewest bytes of one. */
const GZIP_MEMBER_BEGIN = Buffer.from([0x1f, 0x8b, 8]);
const GZIP_BYTES_MIN = 18;

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

/** Bytes of all bodies that are coming in now, of every server in this process: its memory is one. */
const incoming = { bytes: 0 };

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

/** A small body of declared length: Bun collects it, so all of it counts from the start. No async function: most requests come this way. */
function readAtOnce(request: Request, length: number): Promise<Uint8Array | Refusal> {
  if (incoming.bytes + length > BODIES_BYTES_MAX) return Promise.resolve(tooManyBodies());
  incoming.bytes += length;
  return request.bytes().then(
    (body) => {
      incoming.bytes -= length;
      return body;
    },
    () => {
      incoming.bytes -= length;
      return incomplete();
    },
  );
}

/** A large body, or one without a declared length: read until it ends or passes a bound; what has come of it counts. */
async function readChunks(
  stream: ReadableStream<Uint8Array>,
  bytesMax: number,
): Promise<Uint8Array | Refusal> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return Buffer.concat(chunks, bytes);
      bytes += value.length;
      incoming.bytes += value.length;
      if (bytes <= bytesMax && incoming.bytes <= BODIES_BYTES_MAX) chunks.push(value);
      else {
        await reader.cancel();
        return bytes > bytesMax ? tooLarge(bytesMax, "the body") : tooManyBodies();
      }
    }
  } finally {
    incoming.bytes -= bytes;
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
 * The whole body of a request, decompressed. Refusals: 413 (too large), 415 (unknown Content-Encoding), 400 (broken compression, or
 * the sender hung up half-way), 503 (unfinished bodies hold too much). Never rejects.
 */
export function readBody(request: Request, bytesMax: number): Promise<Uint8Array | Refusal> {
  const { headers } = request;
  const encoding = headers.get("content-encoding")?.toLowerCase() ?? "identity";
  if (encoding !== "identity" && encoding !== "gzip" && encoding !== "zstd")
    return Promise.resolve(
      refuse(
        415,
        "unknown_encoding",
        `Content-Encoding ${JSON.stringify(encoding)} is not understood; send gzip, zstd or none`,
      ),
    );
  const declared = headers.get("content-length");
  const length = declared === null ? Number.POSITIVE_INFINITY : Number(declared);
  if (declared !== null && length > bytesMax)
    return Promise.resolve(tooLarge(bytesMax, "the body"));
  const body =
    length <= BODY_AT_ONCE_BYTES_MAX || request.body === null
      ? readAtOnce(request, declared === null ? 0 : length)
      : readChunks(request.body, bytesMax).catch(incomplete);
  if (encoding === "identity") return body;
  return body.then((bytes) => ("kind" in bytes ? bytes : decompress(bytes, encoding, bytesMax)));
}
