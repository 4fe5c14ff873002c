// Adapter: the listening socket. Serves plain POSTs of events (plain-post.ts) itself, since there a request costs half of what it does in
// Bun.serve, and hands every other connection on to the library's server (tunnel.ts). Owns what bounds all connections together: the files
// that they have open, and how long half a request may wait for the other half.
import { STATUS_CODES } from "node:http";
import type { Socket } from "bun";
import type { Clock } from "../base/clock.ts";
import type { Address } from "../config.ts";
import { tooSlow } from "./body.ts";
import {
  Connection,
  PLAIN_FILES,
  TOO_MANY_CONNECTIONS,
  TUNNEL_FILES,
  type PlainTarget,
  type Shared,
} from "./connection.ts";
import type { Refusal } from "./deps.ts";
import { problemParts, type RequestIds } from "./problem.ts";
import type { Tunnel, Tunnels } from "./tunnel.ts";

/** A response without Content-Length and Date. */
export interface PlainResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What becomes of plain posts. */
export interface PlainService<Target extends PlainTarget> {
  /** What a head asks for; null when the library's server is to read it: it is not plain, or it will be refused. */
  read(head: string): Target | null;
  /** Takes a body, in pieces; `respond` is called once. */
  submit(
    target: Target,
    body: readonly Uint8Array[],
    respond: (response: PlainResponse) => void,
  ): void;
}

/** Heads that are remembered with what they mean: producers send the same ones again and again. */
const HEADS_MAX = 1024;
/** How often requests that take too long are looked for. */
const SLOW_INTERVAL_MS = 1000;

/** The `Date` header (RFC 9110 6.6.1), made once a second. */
class DateHeader {
  readonly #clock: Clock;
  #second = -1;
  #text = "";

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  text(): string {
    const second = Math.floor(this.#clock.nowUs() / 1_000_000);
    if (second !== this.#second) {
      this.#second = second;
      this.#text = new Date(second * 1000).toUTCString();
    }
    return this.#text;
  }
}

/** A front that listens. */
export interface Listening {
  readonly port: number;
  /** Connections that are tunnels. */
  tunnels(): number;
  /** Takes no more connections; closes those that are open, or lets them be. */
  stop(closesConnections: boolean): void;
}

/** What a front is told. */
export interface FrontParts<Target extends PlainTarget> {
  readonly service: PlainService<Target>;
  readonly tunnels: Tunnels;
  readonly ids: RequestIds;
  readonly clock: Clock;
  readonly openFilesMax: number;
  readonly requestTimeoutMs: number;
  readonly idleTimeoutS: number;
}

/** The listening socket and what its connections share. */
export class Front<Target extends PlainTarget> implements Shared<Target> {
  readonly idleTimeoutS: number;
  readonly #parts: FrontParts<Target>;
  readonly #date: DateHeader;
  readonly #targets = new Map<string, Target>();
  #openFiles = 0;
  #tunnels = 0;
  /** Connections with half a request, and since when (monotonic µs), the oldest first. */
  readonly #waiting = new Map<Connection<Target>, number>();

  constructor(parts: FrontParts<Target>) {
    this.idleTimeoutS = parts.idleTimeoutS;
    this.#parts = parts;
    this.#date = new DateHeader(parts.clock);
  }

  /** Listens until it is stopped. Throws what the system says when the address is taken, foreign or not permitted. */
  listen(address: Address): Listening {
    const listener = Bun.listen<Connection<Target>>({
      hostname: address.host,
      port: address.port,
      allowHalfOpen: true,
      socket: {
        binaryType: "buffer",
        open: (socket) => this.#opened(socket),
        data: ({ data }, chunk) => data.received(chunk),
        end: ({ data }) => data.ended(),
        drain: ({ data }) => data.drain(),
        close: ({ data }) => data.closed(),
        timeout: (socket) => socket.terminate(),
      },
    });
    const timer = setInterval(() => this.#endSlow(), SLOW_INTERVAL_MS);
    return {
      port: listener.port,
      tunnels: () => this.#tunnels,
      stop: (closesConnections) => {
        clearInterval(timer);
        listener.stop(closesConnections);
      },
    };
  }

  target(head: string): Target | null {
    const known = this.#targets.get(head);
    if (known !== undefined) return known;
    const target = this.#parts.service.read(head);
    if (target === null || target.isOnce === true) return target;
    if (this.#targets.size >= HEADS_MAX) this.#targets.clear();
    this.#targets.set(head, target);
    return target;
  }

  submit(target: Target, body: readonly Uint8Array[], respond: (response: string) => void): void {
    this.#parts.service.submit(target, body, (response) => respond(this.#text(response)));
  }

  tunnel(socket: Socket<Connection<Target>>): Tunnel | null {
    const files = this.#openFiles + TUNNEL_FILES - PLAIN_FILES;
    if (files > this.#parts.openFilesMax) return null;
    this.#openFiles = files;
    this.#tunnels++;
    return this.#parts.tunnels.open(socket);
  }

  waits(connection: Connection<Target>): void {
    if (!this.#waiting.has(connection))
      this.#waiting.set(connection, this.#parts.clock.monotonicUs());
  }

  waitsNoLonger(connection: Connection<Target>): void {
    if (this.#waiting.size > 0) this.#waiting.delete(connection);
  }

  closed(files: number): void {
    this.#openFiles -= files;
    if (files === TUNNEL_FILES) this.#tunnels--;
  }

  refusalText(refusal: Refusal): string {
    const { headers, body } = problemParts(refusal, this.#parts.ids.from(null));
    const close = { ...headers, connection: "close" };
    return this.#text({ status: refusal.status, headers: close, body });
  }

  #opened(socket: Socket<Connection<Target>>): void {
    const connection = new Connection(this, socket);
    socket.data = connection;
    this.#openFiles += PLAIN_FILES;
    if (this.#openFiles > this.#parts.openFilesMax) connection.refuse(TOO_MANY_CONNECTIONS);
    else socket.timeout(this.idleTimeoutS);
  }

  #endSlow(): void {
    const { clock, requestTimeoutMs } = this.#parts;
    const sinceUs = clock.monotonicUs() - requestTimeoutMs * 1000;
    for (const [connection, beganUs] of this.#waiting) {
      if (beganUs > sinceUs) break;
      connection.refuse(tooSlow(requestTimeoutMs));
    }
  }

  #text({ status, headers, body }: PlainResponse): string {
    let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n`;
    for (const [name, value] of Object.entries(headers)) head += `${name}: ${value}\r\n`;
    return `${head}date: ${this.#date.text()}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
  }
}
