// A load client of our own over raw TCP: keep-alive HTTP/1.1, one request at a time on each connection, the least work between an
// answer and the next request. Runs in a process of its own (bench/client.ts).
import type { Socket } from "bun";

const HEAD_END = "\r\n\r\n";

/** What one connection does: gives the next request's bytes, or null when it is done; sees each answer. */
export interface Exchange {
  next(): readonly Uint8Array[] | null;
  answer(status: number, body: string, latencyMs: number): void;
}

interface State {
  readonly exchange: Exchange;
  received: string;
  sentAt: number;
  /** Bytes that the socket did not take yet. */
  pending: Uint8Array[];
  readonly done: () => void;
}

/** Head of a POST with a body of `bytes` bytes. */
export function postHead(path: string, type: string, bytes: number): Uint8Array {
  return new TextEncoder().encode(
    `POST ${path} HTTP/1.1\r\nhost: bench\r\ncontent-type: ${type}\r\ncontent-length: ${bytes}\r\n\r\n`,
  );
}

/** Runs one exchange on a connection of its own until `next` gives null. Rejects when the connection breaks. */
export function converse(host: string, port: number, exchange: Exchange): Promise<void> {
  return new Promise((resolve, reject) => {
    const decoder = new TextDecoder("latin1");
    Bun.connect<State>({
      hostname: host,
      port,
      socket: {
        open(socket) {
          socket.data = { exchange, received: "", sentAt: 0, pending: [], done: resolve };
          send(socket);
        },
        data(socket, chunk) {
          socket.data.received += decoder.decode(chunk);
          if (takeAnswer(socket.data)) send(socket);
        },
        drain: flush,
        error: (_, error) => reject(error),
        close: () => reject(new Error("the connection was closed")),
      },
    }).catch(reject);
  });
}

function send(socket: Socket<State>): void {
  const state = socket.data;
  const parts = state.exchange.next();
  if (parts === null) {
    state.done();
    socket.end();
    return;
  }
  state.sentAt = performance.now();
  state.pending = [...parts];
  flush(socket);
}

function flush(socket: Socket<State>): void {
  const { pending } = socket.data;
  while (pending.length > 0) {
    const part = pending[0];
    if (part === undefined) return;
    const written = socket.write(part);
    if (written < part.length) {
      pending[0] = part.subarray(Math.max(0, written));
      return;
    }
    pending.shift();
  }
}

/** Takes one whole answer out of what was received; false while it is not complete. */
function takeAnswer(state: State): boolean {
  const { received } = state;
  const head = received.indexOf(HEAD_END);
  if (head < 0) return false;
  const length = Number(/content-length: (\d+)/i.exec(received.slice(0, head))?.[1] ?? 0);
  const end = head + HEAD_END.length + length;
  if (received.length < end) return false;
  const status = Number(received.slice(9, 12));
  const body = received.slice(head + HEAD_END.length, end);
  state.received = received.slice(end);
  state.exchange.answer(status, body, performance.now() - state.sentAt);
  return true;
}
