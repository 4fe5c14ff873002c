// Adapter: Bun's HTTP server, behind the listening socket (front.ts), which serves plain posts of events itself and hands every other
// connection on to it. Sends /v1/events to the ingest route, everything else to the Hono app. Owns counts and times of requests and the
// drain at the end.
//
// Bun closes a connection, with nothing answered, on which a request comes while the answer to the one before is pending (HTTP
// pipelining: https://github.com/oven-sh/bun/pull/38128). Plain posts may be pipelined. README says so; a test holds both.
import { must } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import type { Address } from "../config.ts";
import { createApp } from "./app.ts";
import { EVENTS_PATH, type ServeDeps } from "./deps.ts";
import { LocalRequests } from "./foreign.ts";
import { Front, type Listening, type PlainService } from "./front.ts";
import { IngestRoute, type IngestTarget } from "./ingest.ts";
import { readPlainPost } from "./plain-post.ts";
import { problemResponse, refuse, RequestIds } from "./problem.ts";
import { Requests } from "./requests.ts";
import { Tunnels } from "./tunnel.ts";

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
  const ingest = new IngestRoute(deps, ids);
  const requests = new Requests(deps.metrics, clock);
  const local = deps.keyHash === null ? new LocalRequests() : null;
  const tunnels = new Tunnels(deps.idleTimeoutS);
  const library = startLibrary(deps, { ids, ingest, requests, local, tunnels });
  const service: PlainService<IngestTarget> = {
    read: (head) => {
      const post = readPlainPost(head);
      if (post === null) return null;
      const isForeign = local !== null && local.refusal(`http://${post.host}`, null) !== null;
      return isForeign ? null : ingest.targetOf(post);
    },
    submit: (target, body, respond) => {
      const beganUs = requests.began();
      ingest.submit(target, body, (response) => {
        requests.endedEvents(response.status, beganUs);
        respond(response);
      });
    },
  };
  const { openFilesMax, requestTimeoutMs, idleTimeoutS } = deps;
  const front = listen(
    new Front({ service, tunnels, ids, clock, openFilesMax, requestTimeoutMs, idleTimeoutS }),
    address,
    library,
  );
  return {
    port: front.port,
    url: `http://${shownHost(address.host)}:${front.port}`,
    stop: async (drainMs) => {
      front.stop(false);
      const endUs = clock.monotonicUs() + drainMs * 1000;
      const until = async (isSo: () => boolean): Promise<void> => {
        while (!isSo() && clock.monotonicUs() < endUs) await Bun.sleep(5);
      };
      // the library counts a request until its answer is written
      await until(() => requests.working === 0 && library.pendingRequests === 0);
      await library.stop(true);
      // a tunnel closes once the client has what the library wrote
      await until(() => front.tunnels() === 0);
      front.stop(true);
    },
  };
}

/** What the library's server serves with. */
interface LibraryParts {
  readonly ids: RequestIds;
  readonly ingest: IngestRoute;
  readonly requests: Requests;
  readonly local: LocalRequests | null;
  readonly tunnels: Tunnels;
}

/** Bun's server on a port of its own, for tunnels only. */
function startLibrary(deps: ServeDeps, parts: LibraryParts): Bun.Server<undefined> {
  const { ids, ingest, requests, local, tunnels } = parts;
  const app = createApp(deps, ids);
  const serveEvents = async (request: Request, rest: string): Promise<Response> => {
    const beganUs = requests.began();
    const response = await ingest.handle(request, rest);
    requests.endedEvents(response.status, beganUs);
    return response;
  };
  const answerOthers = (request: Request, client: string): Response | Promise<Response> => {
    const { url } = request;
    const whole = url.startsWith("/") ? new Request(`http://localhost${url}`, request) : request;
    if (URL.canParse(whole.url)) return app.fetch(whole, { client });
    const detail = "the Host header is not a host; send the name or address of this server";
    return problemResponse(refuse(400, "bad_host", detail), ids.of(request));
  };
  const serveOthers = async (request: Request, client: string): Promise<Response> => {
    requests.began();
    let status = 500;
    try {
      const response = await answerOthers(request, client);
      ({ status } = response);
      return response;
    } finally {
      requests.endedOther(status);
    }
  };
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: deps.idleTimeoutS,
    maxRequestBodySize: SERVER_BODY_BYTES_MAX,
    development: false,
    fetch: (request, bun) => {
      const { url } = request;
      const start = pathStart(url);
      const asker = bun.requestIP(request);
      // no address: the connection has gone
      const client = asker === null ? "" : tunnels.clientAt(asker.port);
      if (client === null) return new Response(null, { status: 403 });
      const refusal = local?.refusal(url.slice(0, start), request.headers.get("origin")) ?? null;
      if (refusal !== null) {
        requests.refused(refusal.status);
        return problemResponse(refusal, ids.of(request));
      }
      return isEvents(url, start)
        ? serveEvents(request, url.slice(start + EVENTS_PATH.length))
        : serveOthers(request, client);
    },
  });
  tunnels.to(must(server.port, "the port of the library's server"));
  return server;
}

function listen(
  front: Front<IngestTarget>,
  address: Address,
  library: Bun.Server<undefined>,
): Listening {
  try {
    return front.listen(address);
  } catch (error) {
    void library.stop(true);
    const why = error instanceof Error ? error.message : String(error);
    const shown = `${address.host}:${address.port}`;
    throw new ListenError(
      `cannot listen on ${shown}: ${why}; stop what holds it or choose another with --listen HOST:PORT`,
    );
  }
}
