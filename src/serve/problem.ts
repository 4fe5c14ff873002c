// Verb: a refusal -> an application/problem+json response (RFC 9457), with a request id to find it by.
import type { Refusal } from "./deps.ts";

const TITLES: Readonly<Record<Refusal["status"], string>> = {
  400: "The request cannot be understood",
  401: "A key is needed",
  403: "The key does not permit this",
  404: "There is nothing here",
  405: "This method is not served here",
  408: "The request took too long",
  409: "The same request is in work",
  413: "The body is too large",
  415: "This content is not understood",
  422: "The request contradicts an earlier one",
  429: "Too many requests",
  500: "Millrace failed",
  503: "Not now",
};

/** Makes request ids: the client's own if it is printable and short, else a prefix and a number. */
export class RequestIds {
  readonly #prefix: string;
  #count = 0;
  constructor(prefix: string) {
    this.#prefix = prefix;
  }
  of(request: Request): string {
    return this.from(request.headers.get("x-request-id"));
  }
  /** `given`: what the client sent as X-Request-Id. */
  from(given: string | null): string {
    if (given !== null && /^[\x21-\x7e]{1,128}$/.test(given)) return given;
    this.#count++;
    return `${this.#prefix}-${this.#count.toString(36)}`;
  }
}

/** A refusal without more members. */
export function refuse(status: Refusal["status"], code: string, detail: string): Refusal {
  return { kind: "refusal", status, code, detail };
}

/** What goes out for a refusal. */
export function problemParts(
  refusal: Refusal,
  requestId: string,
): { readonly headers: Record<string, string>; readonly body: string } {
  const problem = {
    type: `urn:millrace:problem:${refusal.code}`,
    title: TITLES[refusal.status],
    status: refusal.status,
    code: refusal.code,
    detail: refusal.detail,
    ...refusal.more,
    request_id: requestId,
  };
  const { retryAfterS } = refusal;
  const retry = retryAfterS === undefined ? {} : { "retry-after": String(Math.ceil(retryAfterS)) };
  const type = { "content-type": "application/problem+json", "x-request-id": requestId };
  return { headers: { ...type, ...retry }, body: `${JSON.stringify(problem)}\n` };
}

/** The response for a refusal; `more` headers are added (`Allow`, `WWW-Authenticate`). */
export function problemResponse(
  refusal: Refusal,
  requestId: string,
  more: Readonly<Record<string, string>> = {},
): Response {
  const { headers, body } = problemParts(refusal, requestId);
  return new Response(body, { status: refusal.status, headers: { ...headers, ...more } });
}
