// Noun: the query child as its parent sees it: started, listening, dead, started again. Owns the process; what is asked of it is
// service.ts's.
import { readFileSync, rmSync } from "node:fs";
import { QUERY_RSS_BEYOND_BYTES_MAX, QUERY_RUNNING_MAX } from "../limits.ts";
import { READY_LINE, type ChildOptions } from "./wire.ts";

/** How to start the child. */
export interface ChildCommand {
  /** Executable and leading arguments: ["bun", "src/threads/query-child.ts"] or [process.execPath, "__query"]. */
  readonly command: readonly string[];
  /** Where it listens: a path in a folder that exists. */
  readonly socketPath: string;
  readonly options: ChildOptions;
  readonly logLine: (line: string) => void;
}

/** Why the parent killed a child. */
export type KillReason = "stuck" | "too_much_memory" | "unreachable";

type Process = ReturnType<typeof spawnChild>;

function spawnChild({ command, socketPath, options }: ChildCommand) {
  return Bun.spawn([...command, socketPath, JSON.stringify(options)], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
    // Bun's pool has as many threads as cores; a running question occupies one of them.
    env: { ...process.env, UV_THREADPOOL_SIZE: String(CHILD_POOL_THREADS) },
  });
}

/** Resolves when the child listens; rejects when it ends before. */
async function listening(child: Process): Promise<void> {
  let text = "";
  for await (const bytes of child.stdout) {
    text += new TextDecoder().decode(bytes);
    if (text.includes(READY_LINE)) return;
  }
  throw new Error("the query process ended before it was ready");
}

/** Threads of Bun's pool that the child needs: each running question occupies one, parsing and files some more. */
const CHILD_POOL_THREADS = QUERY_RUNNING_MAX + 4;

const RESTART_MS_MIN = 50;
const RESTART_MS_MAX = 5_000;
/** A call that doubles its text takes a gigabyte in half a second. */
const GONE_MS = 1000;
const WATCH_MS = 100;

/** One life of the child. Requests carry its number, so that a late answer is known to be of a former life. */
export interface ChildLife {
  readonly life: number;
  readonly socketPath: string;
}

export class ChildProcess {
  readonly #command: ChildCommand;
  #process: Process | null = null;
  #life = 0;
  #killed: { readonly life: number; readonly reason: KillReason } | null = null;
  #closing = false;
  #restartMs = RESTART_MS_MIN;
  #ready: Promise<ChildLife>;
  /** Resolves when the present life has ended and the next is under way. */
  #ended: Promise<void> = Promise.resolve();
  readonly #watch: ReturnType<typeof setInterval>;

  constructor(command: ChildCommand) {
    this.#command = command;
    this.#ready = this.#start();
    this.#watch = setInterval(() => this.#watchMemory(), WATCH_MS);
    this.#watch.unref();
  }

  /**
   * The child once it listens, in a later life than `after` (one whose socket was found dead, perhaps before its end was noticed).
   * Rejects when it cannot be started or this is closed; the next call may succeed.
   */
  async ready(after = 0): Promise<ChildLife> {
    for (;;) {
      const child = await this.#ready;
      if (child.life > after) return child;
      await this.#ended;
    }
  }

  pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** Resident bytes of the child; 0 when it does not run. */
  rssBytes(): number {
    const pid = this.pid();
    if (pid === 0) return 0;
    try {
      const pages = Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]);
      return pages * 4096;
    } catch {
      return 0;
    }
  }

  /** Kills this life of the child (if it is still that one); a new one is started. */
  kill(life: number, reason: KillReason): void {
    if (life !== this.#life || this.#process === null) return;
    this.#killed = { life, reason };
    this.#command.logLine(`query process killed: ${reason}`);
    this.#process.kill("SIGKILL");
  }

  /** Replaces the child by a fresh one. Only when it has no work. */
  recycle(): void {
    this.#process?.kill("SIGKILL");
  }

  /**
   * Resolves when that life is over, at the latest after GONE_MS: a connection breaks a moment before the end is noticed, and who is told
   * to ask again must not meet the dead.
   */
  async gone(life: number): Promise<void> {
    if (life === this.#life && this.#process !== null)
      await Promise.race([this.#ended, Bun.sleep(GONE_MS)]);
  }

  /** Why that life was killed by us, or null. */
  killReason(life: number): KillReason | null {
    return this.#killed?.life === life ? this.#killed.reason : null;
  }

  /** Ends the child for good. */
  async close(): Promise<void> {
    this.#closing = true;
    clearInterval(this.#watch);
    const child = this.#process;
    child?.kill("SIGKILL");
    await child?.exited;
    rmSync(this.#command.socketPath, { force: true });
  }

  #start(): Promise<ChildLife> {
    rmSync(this.#command.socketPath, { force: true });
    const child = spawnChild(this.#command);
    const life = ++this.#life;
    this.#process = child;
    const { socketPath } = this.#command;
    const ready = listening(child).then(() => {
      this.#restartMs = RESTART_MS_MIN;
      return { life, socketPath };
    });
    // Who asks meanwhile gets the rejection; without anybody it is not an unhandled one.
    ready.catch(() => undefined);
    this.#ended = child.exited.then(() => this.#restart());
    return ready;
  }

  /** The child ended: the next one is started, ever later when it does not get ready. */
  #restart(): void {
    this.#process = null;
    if (this.#closing) {
      this.#ready = Promise.reject(new Error("closed"));
      this.#ready.catch(() => undefined);
      return;
    }
    const waitMs = this.#restartMs;
    this.#restartMs = Math.min(RESTART_MS_MAX, waitMs * 2);
    this.#ready = Bun.sleep(waitMs).then(() => {
      if (this.#closing) throw new Error("closed");
      return this.#start();
    });
    this.#ready.catch(() => undefined);
  }

  #watchMemory(): void {
    const { memoryBytesMax } = this.#command.options;
    if (this.rssBytes() > memoryBytesMax + QUERY_RSS_BEYOND_BYTES_MAX)
      this.kill(this.#life, "too_much_memory");
  }
}
