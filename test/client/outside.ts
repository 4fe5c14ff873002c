// Starts the independent client and its comparison as processes of their own. How they judge is theirs.
import { join } from "node:path";
import type { ClientOptions } from "./client.ts";
import type { CompareOptions } from "./compare.ts";
import { Journal } from "./journal.ts";

const run = (script: string, args: readonly string[]): string[] => [
  process.execPath,
  "--no-install",
  join(import.meta.dir, script),
  ...args,
];

/** What a client does unless it is said: bodies of one size at one rate. */
const STEADY = { largeEvery: 0, largeEvents: 0, burstEveryMs: 0, burstMs: 0 };

type Options = Omit<ClientOptions, keyof typeof STEADY> & Partial<ClientOptions>;

/** A client that runs until it is told to end, and goes on from its file when it is started again. */
export class OutsideClient {
  readonly journal: string;
  readonly #name: string;
  readonly #options: ClientOptions;
  #child: Bun.Subprocess<"ignore", "inherit", "inherit"> | null = null;

  constructor(name: string, journal: string, options: Options) {
    this.#name = name;
    this.journal = journal;
    this.#options = { ...STEADY, ...options };
  }

  start(address: string): void {
    this.#child = this.#spawn(address);
  }

  /** Bodies that were answered so far. */
  get answered(): number {
    const lanes = [...new Journal(this.journal).read().values()];
    return lanes.reduce((sum, { bodies }) => sum + bodies.length, 0);
  }

  #spawn(
    address: string,
    ...more: readonly string[]
  ): Bun.Subprocess<"ignore", "inherit", "inherit"> {
    return Bun.spawn(
      run("client.ts", [this.#name, address, this.journal, JSON.stringify(this.#options), ...more]),
      { stdio: ["ignore", "inherit", "inherit"] },
    );
  }

  /** Sends what has no answer until it has one. */
  async settle(address: string): Promise<void> {
    const child = this.#spawn(address, "settle");
    this.#child = child;
    await child.exited;
    await this.stop();
  }

  /** Ends it behind its requests under way. Throws when it ended badly. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    this.#child = null;
    child.kill("SIGTERM");
    const code = await child.exited;
    if (code !== 0) throw new Error(`the client ended with ${code}`);
  }

  /** Ends it at once, whatever it does. */
  dispose(): void {
    this.#child?.kill("SIGKILL");
    this.#child = null;
  }

  /** What it was told against what is there, as `compare`. */
  compare(address: string, options: CompareOptions): Promise<string> {
    return compare(address, this.journal, options);
  }
}

/** What a journal says against what an appliance answers; the comparison's last line. Throws with what is wrong. */
export async function compare(
  address: string,
  journal: string,
  options: CompareOptions,
): Promise<string> {
  const child = Bun.spawn(run("compare.ts", [address, JSON.stringify(options), journal]), {
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, error] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) !== 0)
    throw new Error(`what the client was told differs:\n${out}${error}`);
  return out.trimEnd();
}
