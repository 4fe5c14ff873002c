// Adapter: Bun's HTTP server. Sends /v1/events to the lean ingest route, everything else to the Hono app. Owns the listening socket
// and the drain at the end.
//
// Bun closes a connection, with nothing answered, on which a request comes while the answer to the one before is pending (HTTP
// pipelining: https://github.com/oven-sh/bun/pull/38128), and ours always is until the log is synced. README says so; a test holds it.
import type { Clock } from "../base/clock.ts";
import type { Address } from "../config.ts";
import { createApp } from "./app.ts";
import type { ServeDeps } from "./deps.ts";
import { EVENTS_PATH, IngestRoute } from "./ingest.ts";
import { LocalRequests } from "./foreign.ts";
import { problemResponse, refuse, RequestIds } from "./problem.ts";

/** Seconds without a byte after which a connection is closed: longer than any pause between a keep-alive client's requests. */
const IDLE_TIMEOUT_S = 120;

/** What Bun itself lets through: ours is checked before, from the declared length or while the body streams in. */
const SERVER_BODY_BYTES_MAX = 1024 * 1024 * 1024;

/** A server that listens. */
export interface RunningServer {
  readonly port: number;
  /** `http://127.0.0.1:8080`: an unspecified address is shown as loopback. */
  readonly url: string;
  /** Takes no more connections, lets requests in work finish for at most `drainMs`, then closes all. */
  stop(drainMs: number): Promise<void>;
}

/** The address could not be listened on; the message says what to do. */
export class ListenError extends Error {
  override readonly name = "ListenError";
}

function shownHost(host: string): string {
  if (host === "0.0.0.0" || host === "::") return "127.0.0.1";
  return host.includes(":") ? `[${host}]` : host;
}

/** Where the path begins in `http://host/path`; a request without a Host header (HTTP/1.0) has the path alone. */
function pathStart(url: string): number {
  if (url.startsWith("/")) return 0;
  const at = url.indexOf("/", 8);
  return at === -1 ? url.length : at;
}

function isEvents(url: string, start: number): boolean {
  if (!url.startsWith(EVENTS_PATH, start)) return false;
  const next = url.charCodeAt(start + EVENTS_PATH.length);
  return Number.isNaN(next) || next === 47 || next === 63;
}

/** Starts serving. Throws ListenError when the address is taken, foreign or not permitted. */
export function startServer(deps: ServeDeps, address: Address, clock: Clock): RunningServer {
  const ids = new RequestIds(deps.requestIdPrefix);
  const app = createApp(deps, ids);
  const ingest = new IngestRoute(deps, ids);
  const requests = deps.metrics.counters(
    "millrace_http_requests_total",
    "Requests by route and status.",
  );
  const seconds = deps.metrics.histogram(
    "millrace_ingest_seconds",
    "Seconds from request to answer of /v1/events.",
  );
  const ingestOk = requests({ route: "events", status: "200" });
  const load = { working: 0 };

  const serveEvents = (request: Request, rest: string): Promise<Response> => {
    const beganUs = clock.monotonicUs();
    load.working++;
    return ingest.handle(request, rest).then((response) => {
      load.working--;
      seconds.observe((clock.monotonicUs() - beganUs) / 1_000_000);
      if (response.status === 200) ingestOk.add(1);
      else requests({ route: "events", status: String(response.status) }).add(1);
      return response;
    });
  };
  const answerOthers = (request: Request, client: string): Response | Promise<Response> => {
    const { url } = request;
    const whole = url.startsWith("/") ? new Request(`http://localhost${url}`, request) : request;
    if (URL.canParse(whole.url)) return app.fetch(whole, { client });
    const detail = "the Host header is not a host; send the name or address of this server";
    return problemResponse(refuse(400, "bad_host", detail), ids.of(request));
  };
  const serveOthers = async (request: Request, client: string): Promise<Response> => {
    load.working++;
    try {
      const response = await answerOthers(request, client);
      requests({ route: "others", status: String(response.status) }).add(1);
      return response;
    } finally {
      load.working--;
    }
  };
  const local = deps.keyHash === null ? new LocalRequests() : null;
  const server = listen(address, (request, bun) => {
    const { url } = request;
    const start = pathStart(url);
    const refusal = local?.refusal(request, url.slice(0, start)) ?? null;
    if (refusal !== null) {
      requests({ route: "others", status: String(refusal.status) }).add(1);
      return problemResponse(refusal, ids.of(request));
    }
    return isEvents(url, start)
      ? serveEvents(request, url.slice(start + EVENTS_PATH.length))
      : serveOthers(request, bun.requestIP(request)?.address ?? "");
  });
  const port = server.port ?? address.port;
  return {
    port,
    url: `http://${shownHost(address.host)}:${port}`,
    stop: async (drainMs) => {
      void server.stop(false);
      const endUs = clock.monotonicUs() + drainMs * 1000;
      while (load.working > 0 && clock.monotonicUs() < endUs) await Bun.sleep(5);
      await server.stop(true);
    },
  };
}

function listen(
  address: Address,
  fetch: (request: Request, server: Bun.Server<undefined>) => Response | Promise<Response>,
): Bun.Server<undefined> {
  try {
    return Bun.serve({
      hostname: address.host,
      port: address.port,
      idleTimeout: IDLE_TIMEOUT_S,
      maxRequestBodySize: SERVER_BODY_BYTES_MAX,
      development: false,
      fetch,
    });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const shown = `${address.host}:${address.port}`;
    throw new ListenError(
      `cannot listen on ${shown}: ${why}; stop what holds it or choose another with --listen HOST:PORT`,
    );
  }
}
