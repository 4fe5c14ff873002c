// Verb: the head of an HTTP/1.1 request (RFC 9112) -> a plain POST of events, or null. Plain is what a producer sends a thousand times a
// second and what can be read in one way only. Everything else (chunked and compressed bodies, Expect, HTTP/1.0, proxies' requests, what is
// malformed) is null: the library's server reads it, and says what is wrong with it.
import { SLOT_BYTES } from "../limits.ts";
import { EVENTS_PATH, IDEMPOTENCY_HEADER, PARTITION_HEADER } from "./deps.ts";

/** Longest head that is read here, bytes. */
export const PLAIN_HEAD_BYTES_MAX = 4096;

/** A POST to /v1/events whose body follows in `length` bytes, as it is. Header values as sent; null = not sent. */
export interface PlainPost {
  /** What follows /v1/events: "", "/clicks". */
  readonly path: string;
  readonly host: string;
  readonly length: number;
  readonly contentType: string | null;
  readonly authorization: string | null;
  readonly partition: string | null;
  readonly idempotencyKey: string | null;
  readonly requestId: string | null;
}

const REQUEST_LINE = new RegExp(`^POST ${EVENTS_PATH}((?:/[\\w.-]*)?) HTTP/1\\.1$`);
const PARTITION_KEY = PARTITION_HEADER.toLowerCase();
const IDEMPOTENCY_KEY = IDEMPOTENCY_HEADER.toLowerCase();

/** Headers that say how the message is framed, or what only the library's path does; and those of browsers. */
const NOT_PLAIN: ReadonlySet<string> = new Set([
  "transfer-encoding",
  "te",
  "trailer",
  "upgrade",
  "expect",
  "content-encoding",
  "origin",
]);

/** The headers by lower-case name; null when a line is no header (RFC 9110 5.1), or one comes twice or is not plain. */
function readHeaders(lines: readonly string[]): ReadonlyMap<string, string> | null {
  const headers = new Map<string, string>();
  for (const line of lines) {
    const [, name, value] = /^([\w!#$%&'*+.^`|~-]+):(.*)$/.exec(line) ?? [];
    if (name === undefined || value === undefined) return null;
    const key = name.toLowerCase();
    if (NOT_PLAIN.has(key) || headers.has(key)) return null;
    headers.set(key, value.trim());
  }
  return headers;
}

/** `head`: the request's bytes as characters up to the empty line, without it. */
export function readPlainPost(head: string): PlainPost | null {
  if (head.length > PLAIN_HEAD_BYTES_MAX || /[^\t\r\n\x20-\x7e]/.test(head)) return null;
  const [requestLine = "", ...lines] = head.split("\r\n");
  const path = REQUEST_LINE.exec(requestLine)?.[1];
  const headers = readHeaders(lines);
  if (path === undefined || headers === null) return null;
  const host = headers.get("host") ?? "";
  const length = headers.get("content-length") ?? "";
  const connection = headers.get("connection") ?? "keep-alive";
  if (!/^[\w.:[\]-]+$/.test(host) || !/^[1-9]\d{0,8}$/.test(length)) return null;
  if (Number(length) > SLOT_BYTES || connection.toLowerCase() !== "keep-alive") return null;
  return {
    path,
    host,
    length: Number(length),
    contentType: headers.get("content-type") ?? null,
    authorization: headers.get("authorization") ?? null,
    partition: headers.get(PARTITION_KEY) ?? null,
    idempotencyKey: headers.get(IDEMPOTENCY_KEY) ?? null,
    requestId: headers.get("x-request-id") ?? null,
  };
}
