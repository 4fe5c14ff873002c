// A load client of our own over raw TCP: keep-alive HTTP/1.1, one request at a time on each connection, the least work between an
// answer and the next request. Runs in a process of its own (bench/client.ts).
import type { Socket } from "bun";
import { AnswerReader } from "./answer-reader.ts";

/** Head of a POST with a body of `bytes` bytes. */
export function postHead(path: string, type: string, bytes: number): Uint8Array {
  return new TextEncoder().encode(
    `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: ${type}\r\ncontent-length: ${bytes}\r\n\r\n`,
  );
}

/** What happens on a connection. */
export interface Events {
  /** An answer is in the connection's `reader`: the next request may be sent. */
  answered(): void;
  /** The connection broke; not after `end`. */
  broke(error: Error): void;
}

const HANDLER = {
  binaryType: "uint8array",
  data: (socket: Socket<Connection>, chunk: Uint8Array) => socket.data.received(chunk),
  drain: (socket: Socket<Connection>) => socket.data.flush(),
  error: (socket: Socket<Connection>, error: Error) => socket.data.closed(error),
  close: (socket: Socket<Connection>) => socket.data.closed(new Error("the connection was closed")),
} as const;

export class Connection {
  readonly reader = new AnswerReader();
  readonly #events: Events;
  #socket: Socket<Connection> | null = null;
  /** Bytes that the socket did not take yet, in order. */
  #pending: Uint8Array | null = null;
  #after: Uint8Array | null = null;
  #isEnded = false;

  private constructor(events: Events) {
    this.#events = events;
  }

  static async open(host: string, port: number, events: Events): Promise<Connection> {
    const connection = new Connection(events);
    connection.#socket = await Bun.connect<Connection>({
      hostname: host,
      port,
      data: connection,
      socket: HANDLER,
    });
    return connection;
  }

  /** Sends a request. Its bytes must not change until the answer is there. */
  send(first: Uint8Array, second: Uint8Array | null): void {
    this.#pending = first;
    this.#after = second;
    this.flush();
  }

  end(): void {
    this.#isEnded = true;
    this.#socket?.end();
  }

  /** For the socket: bytes came in. */
  received(chunk: Uint8Array): void {
    if (this.reader.take(chunk)) this.#events.answered();
  }

  /** For the socket: writes what it takes. */
  flush(): void {
    while (this.#pending !== null) {
      const written = Math.max(0, this.#socket?.write(this.#pending) ?? 0);
      if (written < this.#pending.length) {
        this.#pending = this.#pending.subarray(written);
        return;
      }
      this.#pending = this.#after;
      this.#after = null;
    }
  }

  /** For the socket: it is gone. */
  closed(error: Error): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#events.broke(error);
  }
}
