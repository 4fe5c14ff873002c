// Clients that nobody wants: heads and bodies that trickle in, requests that stop half-way, heads without an end, answers that nobody takes. Real sockets; knows
// HTTP's bytes and nothing of Millrace.
import { connect, type Socket } from "node:net";

const TRICKLE_MS = 200;
/** A head that never ends comes in lines of so many bytes. */
const FLOOD_LINE_BYTES = 1000;
/** A question whose answer is several MB. */
const LARGE = JSON.stringify({ sql: "SELECT i, repeat('x', 100) FROM range(200000) t(i)" });

/** Questions take turns by address: these clients are not where the others are. */
const ELSEWHERE = "127.0.0.2";

type Kind = "slow head" | "slow body" | "half a request" | "endless head" | "takes no answer";
export const KINDS: readonly Kind[] = [
  "slow head",
  "slow body",
  "half a request",
  "endless head",
  "takes no answer",
];

const POST =
  "POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n";
const BEGINNINGS: Readonly<Record<Kind, string>> = {
  "slow head": "GET /health HTTP/1.1\r\n",
  "slow body": `${POST}content-length: 900000\r\n\r\n`,
  "half a request": `${POST}content-length: 900000\r\n\r\n{"event_id":`,
  "endless head": "GET /health HTTP/1.1\r\nhost: localhost\r\n",
  "takes no answer": `POST /v1/sql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${LARGE.length}\r\n\r\n${LARGE}`,
};

function flood(socket: Socket): void {
  const line = `x-${"a".repeat(FLOOD_LINE_BYTES)}: ${"b".repeat(FLOOD_LINE_BYTES)}\r\n`;
  const more = (): void => {
    while (!socket.destroyed && socket.writable && socket.write(line));
    if (!socket.destroyed) socket.once("drain", more);
  };
  more();
}

function trickle(socket: Socket, piece: string): void {
  const timer = setInterval(() => socket.write(piece), TRICKLE_MS);
  socket.once("close", () => clearInterval(timer));
}

function misbehave(socket: Socket, kind: Kind): void {
  socket.write(BEGINNINGS[kind]);
  switch (kind) {
    case "slow head":
      return trickle(socket, "x-a: b\r\n");
    case "slow body":
      return trickle(socket, "{");
    case "half a request":
      return;
    case "endless head":
      return flood(socket);
    case "takes no answer":
      socket.pause();
  }
}

export class HostileClients {
  readonly #sockets: Socket[] = [];

  /** Opens as many of each kind. They go on until `leave`, or until they are thrown out. */
  come(address: string, ofEach: number): void {
    const { hostname, port } = new URL(address);
    for (const kind of KINDS)
      for (let count = 0; count < ofEach; count++) {
        const to = { host: hostname, port: Number(port), localAddress: ELSEWHERE };
        const socket = connect(to, () => misbehave(socket, kind));
        // reset, refused, closed: whatever becomes of it
        socket.on("error", () => {});
        if (kind !== "takes no answer") socket.resume();
        this.#sockets.push(socket);
      }
  }

  /** How many are still connected. */
  get connected(): number {
    return this.#sockets.filter(({ destroyed }) => !destroyed).length;
  }

  /** Half of them hang up, the others' machine is gone as far as TCP tells it: a reset. */
  leave(): void {
    for (const [at, socket] of this.#sockets.splice(0).entries())
      if (at % 2 === 0) socket.destroy();
      else socket.resetAndDestroy();
  }
}
