// A connection that is handed on to the library's server: its bytes go there and back as they are. Owns who may connect to that server:
// it listens on a port of its own on the loopback address, and serves tunnels only.
import type { Socket } from "bun";
import { END_TIMEOUT_S } from "./http-limits.ts";

/** Bytes from one socket to another: what that one does not take waits here, and the sender rests meanwhile. */
class Flow {
  #from: Socket<unknown> | null = null;
  #to: Socket<unknown> | null = null;
  readonly #waiting: Uint8Array[] = [];
  #isPaused = false;

  /** Both sides are connected. */
  open(from: Socket<unknown>, to: Socket<unknown>): void {
    this.#from = from;
    this.#to = to;
    this.drain();
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  push(chunk: Uint8Array): void {
    this.#waiting.push(chunk);
    this.drain();
  }

  /** Writes what waits, as far as it is taken. */
  drain(): void {
    for (;;) {
      const [chunk] = this.#waiting;
      if (chunk === undefined || this.#to === null) break;
      const written = Math.max(0, this.#to.write(chunk));
      if (written < chunk.length) {
        this.#waiting[0] = chunk.subarray(written);
        break;
      }
      this.#waiting.shift();
    }
    this.#pause(!this.isEmpty);
  }

  #pause(isPaused: boolean): void {
    if (isPaused === this.#isPaused || this.#from === null) return;
    this.#isPaused = isPaused;
    if (isPaused) this.#from.pause();
    else this.#from.resume();
  }
}

/** One connection that goes on at the library's server. */
export class Tunnel {
  readonly #client: Socket<unknown>;
  readonly #idleTimeoutS: number;
  readonly #up = new Flow();
  readonly #down = new Flow();
  #server: Socket<unknown> | null = null;
  #isClientGone = false;
  /** The client sends no more. */
  #isAllSent = false;
  #isServerGone = false;

  constructor(client: Socket<unknown>, idleTimeoutS: number) {
    this.#client = client;
    this.#idleTimeoutS = idleTimeoutS;
  }

  /** Bytes of the client. */
  push(chunk: Uint8Array): void {
    if (!this.#isServerGone) this.#up.push(chunk);
  }

  /** The client takes bytes again. */
  drain(): void {
    this.#down.drain();
    this.#watch();
    this.#endAfterServer();
  }

  /** The client sends no more: the server is told so behind its last byte. */
  ended(): void {
    this.#isAllSent = true;
    if (this.#up.isEmpty) this.#server?.shutdown();
  }

  /** The client is gone. */
  closed(): void {
    this.#isClientGone = true;
    this.#server?.terminate();
  }

  /** The server's side is connected. */
  connected(server: Socket<unknown>): void {
    this.#server = server;
    if (this.#isClientGone) server.terminate();
    this.#up.open(this.#client, server);
    this.#down.open(server, this.#client);
    if (this.#isAllSent) this.ended();
  }

  /** Bytes of the server. */
  answered(chunk: Uint8Array): void {
    this.#down.push(chunk);
    this.#watch();
  }

  /** The server takes bytes again. */
  serverDrain(): void {
    this.#up.drain();
    if (this.#isAllSent) this.ended();
  }

  /** The server closed, or could not be reached. */
  serverClosed(): void {
    this.#isServerGone = true;
    if (this.#isClientGone) return;
    this.#client.timeout(this.#idleTimeoutS);
    this.#client.resume();
    this.#endAfterServer();
  }

  /** A client that takes nothing of an answer is let go: its server rests meanwhile, and would not be seen to close. */
  #watch(): void {
    this.#client.timeout(this.#down.isEmpty ? 0 : this.#idleTimeoutS);
  }

  /** Ends the client's connection once the system has all that the server said. A client that still sends then may lose it: ARCHITECTURE.md, HTTP. */
  #endAfterServer(): void {
    if (!this.#isServerGone || !this.#down.isEmpty) return;
    this.#client.timeout(END_TIMEOUT_S);
    this.#client.end();
  }
}

/** Tunnels to the server that listens on `port` of the loopback address. */
export class Tunnels {
  /** Addresses of the clients, by the local port of their tunnel. */
  readonly #clients = new Map<number, string>();
  readonly #idleTimeoutS: number;
  #port = 0;

  constructor(idleTimeoutS: number) {
    this.#idleTimeoutS = idleTimeoutS;
  }

  /** Where the library's server listens: known once it does. */
  to(port: number): void {
    this.#port = port;
  }

  /** Who asks through a connection from `port`; null when it is no tunnel of ours. */
  clientAt(port: number): string | null {
    return this.#clients.get(port) ?? null;
  }

  /** Hands a connection on. */
  open(client: Socket<unknown>): Tunnel {
    const tunnel = new Tunnel(client, this.#idleTimeoutS);
    const address = client.remoteAddress;
    const clients = this.#clients;
    let port = 0;
    Bun.connect<Tunnel>({
      hostname: "127.0.0.1",
      port: this.#port,
      data: tunnel,
      socket: {
        binaryType: "buffer",
        open: (server) => {
          port = server.localPort;
          clients.set(port, address);
          tunnel.connected(server);
        },
        data: (_, chunk) => tunnel.answered(chunk),
        drain: () => tunnel.serverDrain(),
        close: () => {
          clients.delete(port);
          tunnel.serverClosed();
        },
      },
    }).catch(() => tunnel.serverClosed());
    return tunnel;
  }
}
