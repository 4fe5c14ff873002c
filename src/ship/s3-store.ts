// Adapter: a folder of a bucket of S3, or of what speaks its protocol (MinIO, Ceph, R2, ...), over fetch. Owns requests, tries, time limits, and what
// answers mean; knows nothing of what the objects are.
import type { Clock } from "../base/clock.ts";
import { storeAddressText, type StoreAddress } from "../base/s3-address.ts";
import {
  ANSWER_BYTES_MAX,
  CHUNK_BYTES,
  REQUEST_BYTES_PER_MS,
  REQUEST_RETRY_MS,
  REQUEST_TIMEOUT_MS,
  REQUEST_TRIES,
} from "./ship-limits.ts";
import { encoded, signedHeaders, type Credentials, type Unsigned } from "./signature.ts";
import { StoreError, type Listed, type ObjectStore, type StoreFault } from "./store.ts";

/** Where a store is. Plain data: it is posted. */
export interface StoreTarget extends StoreAddress {
  /** `https://minio.example:9000`; null: Amazon's. */
  readonly endpoint: string | null;
  readonly region: string;
  /** Whether the bucket is in the path, not in the host's name. */
  readonly pathStyle: boolean;
}

export interface S3Options {
  readonly target: StoreTarget;
  readonly credentials: Credentials;
  readonly clock: Clock;
  /** Aborted: all requests end. */
  readonly signal: AbortSignal;
}

const NOTHING = new Uint8Array(0);

export class S3Store implements ObjectStore {
  readonly address: string;
  readonly #options: S3Options;
  /** URL of the bucket, with a slash. */
  readonly #bucket: string;
  /** Before every key: "", or with a slash at its end. */
  readonly #prefix: string;

  constructor(options: S3Options) {
    const { target } = options;
    this.#options = options;
    this.address = storeAddressText(target);
    this.#prefix = target.prefix === "" ? "" : `${target.prefix}/`;
    const at = new URL(target.endpoint ?? `https://s3.${target.region}.amazonaws.com`);
    const path = at.pathname.replace(/\/$/, "");
    this.#bucket = target.pathStyle
      ? `${at.protocol}//${at.host}${path}/${target.bucket}/`
      : `${at.protocol}//${target.bucket}.${at.host}${path}/`;
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    await this.#request("PUT", key, bytes);
  }

  get(key: string, bytesMax: number, atOnce = 1): Promise<Uint8Array | null> {
    const at = { bytesMax, timeBytes: Math.min(bytesMax, CHUNK_BYTES) * atOnce };
    return this.#request("GET", key, NOTHING, at);
  }

  async remove(key: string): Promise<void> {
    await this.#request("DELETE", key);
  }

  async list(prefix: string): Promise<Listed[]> {
    const all: Listed[] = [];
    let after: string | null = null;
    for (;;) {
      const query = new URLSearchParams({ "list-type": "2", prefix: this.#prefix + prefix });
      if (after !== null) query.set("continuation-token", after);
      const answer = await this.#request("GET", `?${query.toString().replaceAll("+", "%20")}`);
      const text = new TextDecoder().decode(answer ?? NOTHING);
      if (!text.includes("<ListBucketResult"))
        throw new StoreError(
          "refused",
          `${this.address} answers a listing with what is none: look whether ship.endpoint is that of an S3-compatible store`,
        );
      for (const [, content = ""] of text.matchAll(/<Contents>(.*?)<\/Contents>/gs))
        all.push({
          key: (tag(content, "Key") ?? "").slice(this.#prefix.length),
          bytes: Number(tag(content, "Size")),
        });
      const next = tag(text, "NextContinuationToken");
      // a page that was cut off, or that leads nowhere, must not look like the end: what is not listed would be taken for gone
      const isWhole = text.trimEnd().endsWith("</ListBucketResult>");
      if (!isWhole || (tag(text, "IsTruncated") === "true" && (next === null || next === after)))
        throw new StoreError("away", `${this.address}: the store's listing breaks off`);
      if (next === null) return all;
      after = next;
    }
  }

  /** The answer's body; null: there is no such object. `key`: or `?` and a query of the bucket. */
  async #request(
    method: Unsigned["method"],
    key: string,
    body: Uint8Array = NOTHING,
    answer = { bytesMax: ANSWER_BYTES_MAX, timeBytes: 0 },
  ): Promise<Uint8Array | null> {
    const { bytesMax, timeBytes } = answer;
    const timeoutMs = REQUEST_TIMEOUT_MS + (body.length + timeBytes) / REQUEST_BYTES_PER_MS;
    for (let left = REQUEST_TRIES - 1, waitMs = REQUEST_RETRY_MS; ; left--, waitMs *= 4)
      try {
        return await this.#once(method, key, { body, timeoutMs, bytesMax });
      } catch (error) {
        this.#options.signal.throwIfAborted();
        if (left === 0 || !(error instanceof StoreError) || error.fault !== "away") throw error;
        await Bun.sleep(waitMs);
      }
  }

  async #once(
    method: Unsigned["method"],
    key: string,
    asked: { readonly body: Uint8Array; readonly timeoutMs: number; readonly bytesMax: number },
  ): Promise<Uint8Array | null> {
    const { target, credentials, clock, signal } = this.#options;
    const { body, timeoutMs, bytesMax } = asked;
    const isQuery = key.startsWith("?");
    const path = isQuery ? key : (this.#prefix + key).split("/").map(encoded).join("/");
    const url = new URL(this.#bucket + path);
    const subject = `${this.address}${isQuery ? "" : `/${key}`}`;
    const at = { region: target.region, atUs: clock.nowUs() };
    const headers = signedHeaders({ method, url, body }, credentials, at);
    let response: Response;
    let answer: Uint8Array | null;
    try {
      response = await fetch(url, {
        method,
        headers,
        ...(method === "PUT" ? { body: body as Uint8Array<ArrayBuffer> } : {}),
        redirect: "manual",
        signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
      });
      answer = await bodyOf(response, response.ok ? bytesMax : ANSWER_BYTES_MAX);
    } catch (error) {
      signal.throwIfAborted();
      const why = error instanceof Error ? error.message : String(error);
      throw new StoreError("away", `${subject} (${url.host}) does not answer: ${why}`);
    }
    if (response.ok && answer === null)
      throw new StoreError(
        isQuery ? "refused" : "damaged",
        isQuery
          ? `${subject}: the store's listing has more than ${bytesMax} bytes a page: look whether ship.endpoint is that of an S3-compatible store`
          : `${subject} is not what Millrace put there: it has more than the ${bytesMax} bytes that it can have`,
      );
    if (response.ok) return answer;
    const code = tag(new TextDecoder().decode(answer ?? NOTHING), "Code");
    const { status } = response;
    if (status === 404 && code === "NoSuchKey" && method !== "PUT") return null;
    // what stands before a store may answer so for a moment: nobody may take it for an object that is not there
    if (status === 404 && !isQuery && code !== "NoSuchBucket")
      throw new StoreError("away", `${subject}: something that is no store answers 404`);
    throw failureOf({ subject, status, code }, target);
  }
}

/** The bytes of an answer; null: it has more than `bytesMax`, and the rest is not read. */
async function bodyOf(response: Response, bytesMax: number): Promise<Uint8Array | null> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  // leaving the loop cancels the answer
  for await (const piece of response.body ?? []) {
    bytes += piece.length;
    if (bytes > bytesMax) return null;
    pieces.push(piece);
  }
  return Bun.concatArrayBuffers(pieces, bytes, true);
}

function failureOf(
  answer: { readonly subject: string; readonly status: number; readonly code: string | null },
  { bucket, region, endpoint }: StoreTarget,
): StoreError {
  const { subject, status, code } = answer;
  const said = `${subject}: the store answers ${status}${code === null ? "" : ` ${code}`}`;
  const fail = (fault: StoreFault, advice: string): StoreError =>
    new StoreError(fault, advice === "" ? said : `${said}. ${advice}`);
  if (status >= 500 || status === 429 || status === 408) return fail("away", "");
  if (status === 301 || status === 307 || code === "AuthorizationHeaderMalformed")
    return fail("nowhere", `The bucket is not in ${region}: write ship.region`);
  if (status === 401 || status === 403)
    return fail(
      "forbidden",
      code === "RequestTimeTooSkewed"
        ? "Set this machine's clock right"
        : code === "ExpiredToken"
          ? "These credentials have expired: start again with new ones"
          : "Look at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, and whether they may list the bucket, and get, put and delete below the prefix",
    );
  if (status === 404)
    return fail(
      "nowhere",
      `There is no bucket ${bucket}${endpoint === null ? "" : ` at ${endpoint}`}: make it, or write ship.to, ship.endpoint and ship.path_style as they are`,
    );
  return fail("refused", "");
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&amp;": "&",
  "&lt;": "<",
  "&gt;": ">",
  "&quot;": '"',
  "&apos;": "'",
};

/** The text of the first element of this name: all that is read of the store's XML. */
function tag(xml: string, name: string): string | null {
  const text = new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1];
  return text?.replaceAll(/&\w+;/g, (entity) => ENTITIES[entity] ?? entity) ?? null;
}
