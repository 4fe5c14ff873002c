// A store that we did not write, in a process of its own, and a way to it that can be cut, slowed down, or made to answer for itself.
import { join } from "node:path";
import type { Socket } from "bun";
import { afterAll, beforeAll, test } from "bun:test";
import { systemClock } from "../../src/base/clock.ts";
import { S3Store } from "../../src/ship/s3-store.ts";
import type { Credentials } from "../../src/ship/signature.ts";
import { isPythonMissing, NEEDS_PYTHON, PYTHON } from "../python/python.ts";

const SCRIPT = join(import.meta.dir, "..", "python", "s3_server.py");

/** Keys on a page of a listing: few, so that every listing has pages. */
const PAGE_KEYS = 7;

/** `answer`: it gets this status, and this body; `endless`: a body that has no end. `hang`: nothing comes back. */
export type Way =
  | { readonly kind: "open" }
  | { readonly kind: "cut" }
  | { readonly kind: "hang" }
  | { readonly kind: "slow"; readonly ms: number }
  | { readonly kind: "answer"; readonly status: number; readonly body?: string }
  | { readonly kind: "endless"; readonly status: number };

export interface TestStore {
  readonly bucket: string;
  /** Of the way, which leads to the store. */
  readonly endpoint: string;
  readonly credentials: Credentials;
  /** Of one who may not write. */
  readonly reader: Credentials;
  /** For a process: the credentials. */
  readonly env: Readonly<Record<string, string>>;
  /** Flags that a process ships there with. */
  readonly flags: (prefix: string) => string[];
  readonly open: (prefix: string, more?: Partial<Opened>) => S3Store;
  readonly setWay: (way: Way) => void;
  readonly stop: () => Promise<void>;
}

interface Opened {
  readonly bucket: string;
  readonly credentials: Credentials;
  readonly endpoint: string;
}

/** A test that needs the store: skipped, and says so in its name, where there is no Python. */
export function storeTest(name: string, run: () => Promise<void>): void {
  test.skipIf(isPythonMissing)(`${name} ${isPythonMissing ? NEEDS_PYTHON : ""}`, run);
}

/** Runs a store for the tests of a file. */
export function useStore(take: (store: TestStore) => void): void {
  if (isPythonMissing) return;
  let stop = (): Promise<void> => Promise.resolve();
  beforeAll(async () => {
    const store = await startStore();
    ({ stop } = store);
    take(store);
  });
  afterAll(() => stop());
}

export async function startStore(): Promise<TestStore> {
  const child = Bun.spawn([PYTHON, SCRIPT], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
    env: { ...process.env, MOTO_S3_DEFAULT_MAX_KEYS: String(PAGE_KEYS) },
  });
  const { value } = await child.stdout.getReader().read();
  const told = JSON.parse(new TextDecoder().decode(value)) as {
    readonly port: number;
    readonly bucket: string;
    readonly credentials: Omit<Credentials, "sessionToken">;
    readonly reader: Omit<Credentials, "sessionToken">;
  };
  const way = openWay(told.port);
  const { bucket } = told;
  const endpoint = `http://127.0.0.1:${way.port}`;
  const credentials = { ...told.credentials, sessionToken: null };
  const clock = systemClock();
  const { signal } = new AbortController();
  return {
    bucket,
    endpoint,
    credentials,
    reader: { ...told.reader, sessionToken: null },
    env: {
      AWS_ACCESS_KEY_ID: credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    },
    flags: (prefix) => [
      `--ship.to=s3://${bucket}/${prefix}`,
      `--ship.endpoint=${endpoint}`,
      "--ship.path_style=on",
    ],
    open: (prefix, more = {}) => {
      const of = { bucket, credentials, endpoint, ...more };
      const target = { ...of, prefix, region: "us-east-1", pathStyle: true };
      return new S3Store({ target, credentials: of.credentials, clock, signal });
    },
    setWay: way.set,
    stop: async () => {
      way.close();
      await child.stdin.end();
      await child.exited;
    },
  };
}

interface Ends {
  other: Socket<Ends> | null;
  /** What came before the other end was there. */
  early: Buffer[];
}

function openWay(port: number): {
  readonly port: number;
  readonly set: (way: Way) => void;
  readonly close: () => void;
} {
  let way: Way = { kind: "open" };
  const open = new Set<Socket<Ends>>();
  const pass = (from: Socket<Ends>, bytes: Buffer): void => {
    const copy = Buffer.from(bytes);
    const write = (): void => {
      const { other, early } = from.data;
      if (other === null) early.push(copy);
      else writeAll(other, copy);
    };
    if (way.kind === "slow") setTimeout(write, way.ms);
    else write();
  };
  const ends = {
    data: (socket: Socket<Ends>, bytes: Buffer): void => {
      if (way.kind === "answer") {
        const { status, body = "" } = way;
        const head = `HTTP/1.1 ${status} No\r\ncontent-length: ${body.length}\r\nconnection: close`;
        socket.write(`${head}\r\n\r\n${body}`);
        socket.end();
      } else if (way.kind === "endless") {
        socket.write(`HTTP/1.1 ${way.status} No\r\nconnection: close\r\n\r\n`);
        writeEndlessly(socket);
      } else if (way.kind === "open" || way.kind === "slow") pass(socket, bytes);
    },
    close: (socket: Socket<Ends>): void => {
      open.delete(socket);
      socket.data.other?.end();
    },
    drain: (socket: Socket<Ends>): void =>
      way.kind === "endless" ? writeEndlessly(socket) : flush(socket),
    error: (socket: Socket<Ends>): void => void socket.end(),
  };
  const connect = async (socket: Socket<Ends>): Promise<void> => {
    const data = { other: socket, early: [] };
    const other = await Bun.connect<Ends>({ hostname: "127.0.0.1", port, data, socket: ends });
    open.add(other);
    socket.data.other = other;
    for (const bytes of socket.data.early.splice(0)) writeAll(other, bytes);
  };
  const listener = Bun.listen<Ends>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      ...ends,
      open: (socket) => {
        socket.data = { other: null, early: [] };
        open.add(socket);
        if (way.kind === "cut") return socket.terminate();
        void connect(socket);
        return undefined;
      },
    },
  });
  return {
    port: listener.port,
    set: (next) => {
      way = next;
      for (const socket of open) socket.terminate();
    },
    close: () => listener.stop(true),
  };
}

/** Bytes that a socket did not take yet. */
const UNSENT = new WeakMap<Socket<Ends>, Buffer[]>();

const NOTHINGS = Buffer.alloc(1024 * 1024);

/** As much as the socket takes now: it takes all as long as the other end reads. */
function writeEndlessly(socket: Socket<Ends>): void {
  while (socket.write(NOTHINGS) === NOTHINGS.length);
}

function writeAll(socket: Socket<Ends>, bytes: Buffer): void {
  const unsent = UNSENT.get(socket) ?? [];
  UNSENT.set(socket, unsent);
  unsent.push(bytes);
  flush(socket);
}

function flush(socket: Socket<Ends>): void {
  const unsent = UNSENT.get(socket) ?? [];
  for (let bytes = unsent[0]; bytes !== undefined; bytes = unsent[0]) {
    const count = socket.write(bytes);
    if (count < bytes.length) {
      unsent[0] = bytes.subarray(Math.max(count, 0));
      return;
    }
    unsent.shift();
  }
}
