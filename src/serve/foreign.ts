// Noun: requests that a web page elsewhere may have caused. Without a key whoever reaches the port is served; a page whose name was
// bound to 127.0.0.1 (DNS rebinding) would reach it through the browser of somebody on this machine. Such requests name another host.
import type { Refusal } from "./deps.ts";
import { isLoopback } from "./key.ts";
import { refuse } from "./problem.ts";

function isLocalName(host: string): boolean {
  return isLoopback(host) || host.endsWith(".localhost");
}

/** `http://127.0.0.1:8080`, `http://[::1]` -> the host, in lower case. */
function hostOf(origin: string): string {
  const [, bracketed, plain] = /^[a-z]+:\/\/(?:\[([^\]]*)\]|([^:/]*))/i.exec(origin) ?? [];
  return (bracketed ?? plain ?? "").toLowerCase();
}

/** Refuses requests that name another host than this machine, or that a page of another host sent (RFC 6454). For servers without a key. */
export class LocalRequests {
  /** Origins of requests that were found to be local: a few, since clients name this machine in few ways. */
  readonly #known = new Set<string>();

  /**
   * `origin`: the request's own, up to the path; "" when it had no Host (HTTP/1.0). `from`: its header Origin. Null: it may be served, or
   * its Host is none at all.
   */
  refusal(origin: string, from: string | null): Refusal | null {
    const isOurs = origin === "" || this.#isLocal(origin) || !URL.canParse(origin);
    if (isOurs && (from === null || this.#isLocal(from))) return null;
    const named = isOurs ? `a page of ${from ?? ""} sent it` : `it names ${origin}`;
    const detail = `without a key only requests to localhost are served, and ${named.slice(0, 200)}; start with MILLRACE_KEY to serve others`;
    return refuse(403, "foreign_host", detail);
  }

  #isLocal(origin: string): boolean {
    if (this.#known.has(origin)) return true;
    if (!isLocalName(hostOf(origin))) return false;
    if (this.#known.size < 64) this.#known.add(origin);
    return true;
  }
}
