// Verb: POST /v1/events[/{stream}]: what a head asks for, and what goes out. The hot path: no framework.
import { ANSWER_ERRORS_MAX, BODY_BYTES_MAX, PARTITION_NAME_BYTES_MAX } from "../limits.ts";
import { DEFAULT_PARTITION } from "../log/record.ts";
import { similar } from "../base/similar.ts";
import { readBody } from "./body.ts";
import {
  EVENTS_PATH,
  IDEMPOTENCY_HEADER,
  PARTITION_HEADER,
  type BodyFormat,
  type IngestAnswer,
  type Offer,
  type Refusal,
  type ServeDeps,
} from "./deps.ts";
import { carriesKey } from "./key.ts";
import type { PlainPost } from "./plain-post.ts";
import { problemParts, problemResponse, refuse } from "./problem.ts";
import type { RequestIds } from "./problem.ts";
import type { PlainResponse } from "./front.ts";

const FORMATS: Readonly<Record<string, BodyFormat>> = {
  "application/json": "json",
  "application/x-ndjson": "ndjson",
  "application/ndjson": "ndjson",
  "application/jsonl": "ndjson",
  "application/x-jsonlines": "ndjson",
};

const JSON_TYPE = { "content-type": "application/json" };
/** Of an answer that was given before. */
const REPLAYED = { ...JSON_TYPE, "idempotency-replayed": "true" };

/** Longest Idempotency-Key, characters. */
const KEY_CHARS_MAX = 255;

/** Where a plain post goes. */
export interface IngestTarget {
  readonly stream: string;
  readonly partition: string;
  readonly format: BodyFormat;
  /** Bytes of the body. */
  readonly length: number;
  /** The client's own id of the request. */
  readonly requestId: string | null;
  readonly key: string | null;
  /** A key is one request's. */
  readonly isOnce: boolean;
}

/** The format of a Content-Type, or a refusal that names the header to send. */
export function formatOf(contentType: string | null): BodyFormat | Refusal {
  // The two usual spellings first: no parsing.
  if (contentType === "application/json") return "json";
  if (contentType === "application/x-ndjson") return "ndjson";
  const send =
    'send Content-Type: application/json for an object, an array or {"events":[...]}, application/x-ndjson for an object a line';
  if (contentType === null)
    return refuse(415, "content_type_missing", `there is no Content-Type; ${send}`);
  const [type = "", ...parameters] = contentType.toLowerCase().split(";");
  const format = FORMATS[type.trim()];
  const text = JSON.stringify(contentType.slice(0, 100));
  if (format === undefined)
    return refuse(415, "unknown_content_type", `Content-Type ${text} is not understood; ${send}`);
  const charset = parameters.find((parameter) => parameter.trim().startsWith("charset="));
  if (charset !== undefined && !/=\s*"?utf-?8"?\s*$/.test(charset))
    return refuse(
      415,
      "unknown_charset",
      `Content-Type ${text}: only UTF-8 is understood; ${send}; charset=utf-8`,
    );
  return format;
}

/** The source partition that a header names: "" without one. A refusal when it is no name. */
export function partitionOf(header: string | null): string | Refusal {
  if (header === null) return DEFAULT_PARTITION;
  if (header.length <= PARTITION_NAME_BYTES_MAX && /^[\w.:@-]+$/.test(header)) return header;
  return refuse(
    400,
    "bad_source_partition",
    `${PARTITION_HEADER} ${JSON.stringify(header.slice(0, 100))} is no name: send 1 to ${PARTITION_NAME_BYTES_MAX} letters, digits and . _ : @ - that name the producer, the same with every request of it`,
  );
}

/**
 * The key of an Idempotency-Key header: a string as in RFC 8941 3.3.3, as the draft has it, or bare as most senders write it; both spellings of a key are
 * one. Null without the header, a refusal when it is no key.
 */
export function keyOf(header: string | null): string | null | Refusal {
  if (header === null) return null;
  const quoted = /^"((?:[\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"$/.exec(header)?.[1];
  const key = quoted?.replaceAll(/\\(["\\])/g, "$1") ?? (header.startsWith('"') ? "" : header);
  if (key.length <= KEY_CHARS_MAX && /^[\x21-\x7e]+$/.test(key)) return key;
  return refuse(
    400,
    "bad_idempotency_key",
    `${IDEMPOTENCY_HEADER} ${JSON.stringify(header.slice(0, 100))} is no key: send 1 to ${KEY_CHARS_MAX} visible ASCII characters, such as a UUID, bare or in double quotes`,
  );
}

/** The answer as the sender gets it. */
export function answerText(answer: IngestAnswer): string {
  const { accepted, duplicates, rejected, errors, position } = answer;
  const counts = `{"accepted":${accepted},"duplicates":${duplicates},"rejected":${rejected}`;
  if (rejected === 0) return `${counts},"errors":[],"position":${position}}\n`;
  const shown = errors
    .slice(0, ANSWER_ERRORS_MAX)
    .map(({ index, reason, field, message }) => ({ index, reason, field, message }));
  const left = rejected - shown.length;
  const truncated = left > 0 ? `,"errors_truncated":${left}` : "";
  return `${counts},"errors":${JSON.stringify(shown)}${truncated},"position":${position}}\n`;
}

/** Serves everything at and below /v1/events. */
export class IngestRoute {
  readonly #deps: ServeDeps;
  readonly #ids: RequestIds;
  readonly #only: string | null;
  readonly #names: ReadonlySet<string>;

  constructor(deps: ServeDeps, ids: RequestIds) {
    this.#deps = deps;
    this.#ids = ids;
    this.#names = new Set(deps.ingest.streams);
    this.#only = deps.ingest.streams.length === 1 ? (deps.ingest.streams[0] ?? null) : null;
  }

  /** `rest` is what follows /v1/events in the URL: "", "/clicks", "?wait=none", "/clicks?...". Never rejects. */
  async handle(request: Request, rest: string): Promise<Response> {
    const { keyHash } = this.#deps;
    if (keyHash !== null && !carriesKey(request.headers.get("authorization"), keyHash))
      return this.problem(
        request,
        refuse(401, "key_needed", "send the header Authorization: Bearer KEY"),
        {
          "www-authenticate": "Bearer",
        },
      );
    if (request.method !== "POST")
      return this.problem(request, refuse(405, "method_not_allowed", "send events with POST"), {
        allow: "POST",
      });
    const query = rest.indexOf("?");
    const stream = this.#streamOf(query === -1 ? rest : rest.slice(0, query));
    if (typeof stream !== "string") return this.problem(request, stream);
    const later = laterFeature(query === -1 ? "" : rest.slice(query));
    if (later !== null) return this.problem(request, later);
    const format = formatOf(request.headers.get("content-type"));
    if (typeof format !== "string") return this.problem(request, format);
    const partition = partitionOf(request.headers.get(PARTITION_HEADER));
    if (typeof partition !== "string") return this.problem(request, partition);
    const key = keyOf(request.headers.get(IDEMPOTENCY_HEADER));
    if (typeof key === "object" && key !== null) return this.problem(request, key);
    const body = await readBody(request, BODY_BYTES_MAX, this.#deps.requestTimeoutMs);
    if ("kind" in body) return this.problem(request, body);
    if (body.length === 0) return this.problem(request, noEvents());
    const offer = offerOf({ stream, partition, format, key }, [body], body.length);
    const answer = await new Promise<IngestAnswer | Refusal>((reply) =>
      this.#deps.ingest.submit(offer, reply),
    );
    const { status, headers, body: text } = this.#outgoing(answer, () => this.#ids.of(request));
    return new Response(text, { status, headers });
  }

  /** Where a plain post goes; null when it is refused: `handle` says why. */
  targetOf(post: PlainPost): IngestTarget | null {
    const { keyHash } = this.#deps;
    if (keyHash !== null && !carriesKey(post.authorization, keyHash)) return null;
    const stream = this.#streamOf(post.path);
    const format = formatOf(post.contentType);
    const partition = partitionOf(post.partition);
    const key = keyOf(post.idempotencyKey);
    if (typeof key === "object" && key !== null) return null;
    if (typeof stream !== "string" || typeof format !== "string" || typeof partition !== "string")
      return null;
    const { length, requestId } = post;
    return { stream, partition, format, length, requestId, key, isOnce: key !== null };
  }

  /** Takes the body of a plain post. */
  submit(
    target: IngestTarget,
    body: readonly Uint8Array[],
    respond: (response: PlainResponse) => void,
  ): void {
    this.#deps.ingest.submit(offerOf(target, body, target.length), (answer) =>
      respond(this.#outgoing(answer, () => this.#ids.from(target.requestId))),
    );
  }

  #outgoing(answer: IngestAnswer | Refusal, requestId: () => string): PlainResponse {
    if (answer.kind === "refusal")
      return { status: answer.status, ...problemParts(answer, requestId()) };
    const useful = answer.accepted + answer.duplicates;
    if (useful + answer.rejected === 0) return this.#outgoing(noEvents(), requestId);
    const headers = answer.isReplay === true ? REPLAYED : JSON_TYPE;
    return { status: useful === 0 ? 400 : 200, headers, body: answerText(answer) };
  }

  problem(request: Request, refusal: Refusal, headers?: Record<string, string>): Response {
    return problemResponse(refusal, this.#ids.of(request), headers);
  }

  /** The stream that a path names: "" is the only stream. */
  #streamOf(path: string): string | Refusal {
    const { streams } = this.#deps.ingest;
    const list = streams.join(", ");
    const name = path.endsWith("/") ? path.slice(1, -1) : path.slice(1);
    if (name === "") {
      if (this.#only !== null) return this.#only;
      return refuse(
        400,
        "stream_not_named",
        `there are several streams; send to ${EVENTS_PATH}/ and one of ${list}`,
      );
    }
    if (this.#names.has(name)) return name;
    const meant = similar(name, streams);
    const hint = meant === null ? "" : ` Did you mean ${meant}?`;
    const shown = JSON.stringify(name.slice(0, 100));
    return refuse(
      404,
      "unknown_stream",
      `there is no stream ${shown}; streams are ${list}.${hint}`,
    );
  }
}

function offerOf(
  { stream, partition, format, key }: Pick<IngestTarget, "stream" | "partition" | "format" | "key">,
  body: readonly Uint8Array[],
  bytes: number,
): Offer {
  const offer = { stream, partition, format, body, bytes };
  return key === null ? offer : { ...offer, key };
}

function noEvents(): Refusal {
  return refuse(400, "no_events", "the body holds no events; send at least one JSON object");
}

/** What later releases serve is refused rather than ignored: a sender would rely on it. */
function laterFeature(query: string): Refusal | null {
  if (query === "" || !new URLSearchParams(query).has("wait")) return null;
  return refuse(
    400,
    "not_in_this_release",
    "?wait= is not in this release; every answer is durable",
  );
}
