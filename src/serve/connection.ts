// One connection of the listening socket: reads a request, rests until it is answered, reads the next. So requests are answered in their
// order, also when a sender does not wait for answers (pipelining, RFC 9112 9.3.2). From its first request that is not plain on it is a
// tunnel to the library's server.
import type { Socket } from "bun";
import { END_TIMEOUT_S } from "./http-limits.ts";
import { incomingBodies } from "./body.ts";
import type { Refusal } from "./deps.ts";
import { PLAIN_HEAD_BYTES_MAX } from "./plain-post.ts";
import { refuse } from "./problem.ts";
import type { Tunnel } from "./tunnel.ts";

/** What a head asks for: how long the body is matters here. */
export interface PlainTarget {
  readonly length: number;
  /** No other request has this head. */
  readonly isOnce?: boolean;
}

/** What connections share. */
export interface Shared<Target extends PlainTarget> {
  /** Seconds without a byte after which a connection is closed. */
  readonly idleTimeoutS: number;
  /** What a head asks for; null: the library's server reads it. */
  target(head: string): Target | null;
  /** Takes a body, in pieces; `respond` is called once, with the response as it goes out. */
  submit(target: Target, body: readonly Uint8Array[], respond: (response: string) => void): void;
  /** The response that says so and that the connection is closed. */
  refusalText(refusal: Refusal): string;
  /** A tunnel for a connection; null when there is no room. */
  tunnel(socket: Socket<Connection<Target>>): Tunnel | null;
  /** Half a request of a connection is here. */
  waits(connection: Connection<Target>): void;
  waitsNoLonger(connection: Connection<Target>): void;
  /** A connection with so many open files is gone. */
  closed(files: number): void;
}

/** Files that a connection has open here, and with its tunnel, both of whose ends are ours. */
export const PLAIN_FILES = 1;
export const TUNNEL_FILES = 3;

export const TOO_MANY_CONNECTIONS: Refusal = {
  ...refuse(503, "too_many_connections", "too many connections are open; send again later"),
  retryAfterS: 1,
};

const HEAD_END = Buffer.from("\r\n\r\n");

/** Pieces of a body before they are made one: each is an object of some 850 bytes, however short, and a body can come byte by byte. */
const PIECES_MAX = 64;

/** A body that comes in. */
interface Incoming<Target> {
  readonly target: Target;
  pieces: Uint8Array[];
  missing: number;
}

/** One connection: reads a request, rests until it is answered, reads the next. */
export class Connection<Target extends PlainTarget> {
  readonly #shared: Shared<Target>;
  readonly #socket: Socket<Connection<Target>>;
  /** What came and was not read yet: of a request whose head is not whole, or of those that follow the one in work. */
  #unread: Buffer | null = null;
  #isHeadCut = false;
  #incoming: Incoming<Target> | null = null;
  #isAnswering = false;
  #isReading = false;
  #isPaused = false;
  /** What the socket did not take of an answer. */
  #unsent: Uint8Array | null = null;
  #tunnel: Tunnel | null = null;
  /** The client sends no more (a FIN came): it gets the answers to what it sent. */
  #isAllSent = false;
  /** It was refused: what comes is not read. */
  #isEnding = false;
  #isClosed = false;

  constructor(shared: Shared<Target>, socket: Socket<Connection<Target>>) {
    this.#shared = shared;
    this.#socket = socket;
  }

  received(chunk: Buffer): void {
    if (this.#isEnding) return undefined;
    if (this.#tunnel !== null) return this.#tunnel.push(chunk);
    this.#socket.timeout(this.#shared.idleTimeoutS);
    this.#unread = this.#unread === null ? chunk : Buffer.concat([this.#unread, chunk]);
    return this.#read();
  }

  drain(): void {
    if (this.#tunnel !== null) return this.#tunnel.drain();
    const unsent = this.#unsent;
    if (unsent === null) return;
    this.#unsent = null;
    this.#send(unsent);
    this.#read();
  }

  /** The client sends no more. */
  ended(): void {
    this.#isAllSent = true;
    if (this.#tunnel !== null) return this.#tunnel.ended();
    return this.#read();
  }

  closed(): void {
    this.#isClosed = true;
    this.#forget();
    this.#shared.closed(this.#tunnel === null ? PLAIN_FILES : TUNNEL_FILES);
    this.#tunnel?.closed();
  }

  /** Says why nothing is served here, and closes. */
  refuse(refusal: Refusal): void {
    this.#isEnding = true;
    this.#forget();
    this.#pause(false);
    this.#socket.timeout(END_TIMEOUT_S);
    this.#socket.end(this.#shared.refusalText(refusal));
  }

  /** Reads what came as far as may be; the sender rests while an answer is under way and more has come. */
  #read(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    this.#isHeadCut = false;
    while (this.#unread !== null && !this.#isResting()) {
      const chunk = this.#unread;
      this.#unread = null;
      this.#take(chunk);
    }
    this.#isReading = false;
    this.#pause(this.#unread !== null && !this.#isHeadCut);
    if (this.#isAllSent && this.#tunnel === null && !this.#owesAnswer()) this.#socket.end();
  }

  #owesAnswer(): boolean {
    return this.#isAnswering || this.#unsent !== null;
  }

  #isResting(): boolean {
    const isOver = this.#isClosed || this.#isEnding;
    return isOver || this.#owesAnswer() || this.#isHeadCut;
  }

  #pause(isPaused: boolean): void {
    if (isPaused === this.#isPaused) return;
    this.#isPaused = isPaused;
    if (isPaused) this.#socket.pause();
    else this.#socket.resume();
  }

  #take(chunk: Buffer): void {
    if (this.#incoming !== null) return this.#takeBody(this.#incoming, chunk);
    const end = chunk.indexOf(HEAD_END);
    if (end === -1 && chunk.length < PLAIN_HEAD_BYTES_MAX) return this.#waitForHead(chunk);
    const target = end === -1 ? null : this.#shared.target(chunk.toString("latin1", 0, end));
    if (target === null) return this.#handOn(chunk);
    const bodyAt = end + HEAD_END.length;
    const bodyEnd = bodyAt + target.length;
    if (chunk.length >= bodyEnd) {
      if (chunk.length > bodyEnd) this.#unread = chunk.subarray(bodyEnd);
      return this.#submit(target, [chunk.subarray(bodyAt, bodyEnd)]);
    }
    if (!incomingBodies.reserve(target.length)) return this.#handOn(chunk);
    const begun = chunk.subarray(bodyAt);
    // a copy when earlier requests share its memory
    const pieces = begun.length === 0 ? [] : [chunk.byteOffset > 0 ? Buffer.from(begun) : begun];
    this.#incoming = { target, pieces, missing: bodyEnd - chunk.length };
    return this.#shared.waits(this);
  }

  #waitForHead(chunk: Buffer): void {
    // a copy: it may be the end of a large chunk
    this.#unread = Buffer.from(chunk);
    this.#isHeadCut = true;
    this.#shared.waits(this);
  }

  #takeBody(incoming: Incoming<Target>, chunk: Buffer): void {
    const taken = Math.min(chunk.length, incoming.missing);
    incoming.pieces.push(chunk.subarray(0, taken));
    incoming.missing -= taken;
    if (incoming.missing > 0) {
      if (incoming.pieces.length === PIECES_MAX) incoming.pieces = [Buffer.concat(incoming.pieces)];
      return;
    }
    if (chunk.length > taken) this.#unread = chunk.subarray(taken);
    this.#submit(incoming.target, incoming.pieces);
  }

  /** No request is half here any longer. */
  #forget(): void {
    this.#shared.waitsNoLonger(this);
    if (this.#incoming !== null) incomingBodies.release(this.#incoming.target.length);
    this.#incoming = null;
  }

  #submit(target: Target, pieces: readonly Uint8Array[]): void {
    this.#forget();
    this.#isAnswering = true;
    this.#shared.submit(target, pieces, (response) => {
      this.#isAnswering = false;
      if (this.#isClosed) return;
      this.#send(response);
      this.#read();
    });
  }

  #send(bytes: string | Uint8Array): void {
    const written = Math.max(0, this.#socket.write(bytes));
    const length = typeof bytes === "string" ? Buffer.byteLength(bytes) : bytes.length;
    if (written < length) this.#unsent = Buffer.from(bytes).subarray(written);
  }

  #handOn(chunk: Buffer): void {
    this.#forget();
    this.#tunnel = this.#shared.tunnel(this.#socket);
    if (this.#tunnel === null) return this.refuse(TOO_MANY_CONNECTIONS);
    this.#socket.timeout(0);
    this.#pause(false);
    this.#tunnel.push(chunk);
    if (this.#isAllSent) this.#tunnel.ended();
  }
}
