// A running Millrace for tests: the real process, a data folder of its own, real HTTP. Knows nothing of what is tested.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { readClicks } from "../../src/serve/clicks.ts";

const ROOT = join(import.meta.dir, "..", "..");

/** The command that runs Millrace: from source, or the built executable. */
export const FROM_SOURCE: readonly string[] = [
  process.execPath,
  "--no-install",
  join(ROOT, "src", "main.ts"),
];

export interface StartOptions {
  readonly config: string;
  readonly data: string;
  readonly command?: readonly string[];
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** An answer of POST /v1/events. */
export interface EventsAnswer {
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: number;
  readonly errors: readonly {
    readonly index: number;
    readonly reason: string;
    readonly field: string | null;
    readonly message: string;
  }[];
  readonly errors_truncated?: number;
  readonly position: number;
}

/** An answer of POST /v1/sql as JSON. */
export interface SqlAnswer {
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly rows: readonly (readonly unknown[])[];
  readonly row_count: number;
  readonly position: number;
}

export class Appliance {
  readonly address: string;
  readonly process: Subprocess<"ignore", "pipe", "pipe">;
  readonly #output: { text: string };
  /** Set just before SIGKILL goes out: connections that break from then on are expected. */
  isKilled = false;

  private constructor(
    address: string,
    process: Subprocess<"ignore", "pipe", "pipe">,
    output: { text: string },
  ) {
    this.address = address;
    this.process = process;
    this.#output = output;
  }

  /** Starts and waits for the line with the address. Throws with everything that was printed when it ends before. */
  static async start(options: StartOptions): Promise<Appliance> {
    const child = Bun.spawn({
      cmd: [
        ...(options.command ?? FROM_SOURCE),
        "serve",
        "--config",
        options.config,
        "--data",
        options.data,
        "--listen",
        "127.0.0.1:0",
        ...(options.flags ?? []),
      ],
      env: { ...process.env, ...options.env },
      cwd: options.cwd ?? ROOT,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const output = { text: "" };
    const address = await new Promise<string>((resolve, reject) => {
      const read = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
        const decoder = new TextDecoder();
        for await (const chunk of stream) {
          output.text += decoder.decode(chunk, { stream: true });
          const found = /http:\/\/[0-9.]+:\d+/.exec(output.text);
          if (found !== null) resolve(found[0]);
        }
      };
      void Promise.all([read(child.stdout), read(child.stderr), child.exited]).then(() =>
        reject(
          new Error(
            `millrace ended (${child.signalCode ?? child.exitCode}) before it served:\n${output.text}`,
          ),
        ),
      );
    });
    return new Appliance(address, child, output);
  }

  /** Everything printed so far. */
  get output(): string {
    return this.#output.text;
  }

  /** Waits until `text` was printed: warnings and the address come through two pipes, in either order. Throws after ten seconds. */
  async printed(text: string): Promise<void> {
    for (let waited = 0; waited < 200; waited++) {
      if (this.output.includes(text)) return;
      await Bun.sleep(50);
    }
    throw new Error(`"${text}" was not printed, but:\n${this.output}`);
  }

  post(body: string | Uint8Array, type = "application/x-ndjson", stream = ""): Promise<Response> {
    return fetch(`${this.address}/v1/events${stream === "" ? "" : `/${stream}`}`, {
      method: "POST",
      headers: { "content-type": type },
      body: body as string,
    });
  }

  /** Posts NDJSON and gives the answer; throws when the status is not 200. */
  async send(body: string): Promise<EventsAnswer> {
    const response = await this.post(body);
    if (response.status !== 200)
      throw new Error(`status ${response.status}: ${await response.text()}`);
    return (await response.json()) as EventsAnswer;
  }

  ask(sql: string, more: Readonly<Record<string, unknown>> = {}): Promise<Response> {
    return fetch(`${this.address}/v1/sql`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ sql, ...more }),
    });
  }

  /** Rows of a query; throws when the status is not 200. */
  async rows(sql: string, after?: number): Promise<SqlAnswer> {
    const response = await this.ask(sql, after === undefined ? {} : { after });
    if (response.status !== 200)
      throw new Error(`status ${response.status}: ${await response.text()}`);
    return (await response.json()) as SqlAnswer;
  }

  /** SIGTERM; gives the exit code. */
  async stop(): Promise<number> {
    this.process.kill("SIGTERM");
    return this.process.exited;
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    this.isKilled = true;
    this.process.kill("SIGKILL");
    await this.process.exited;
  }
}

/** A temporary folder that `dispose` removes. */
export function temporaryFolder(): { readonly path: string; readonly dispose: () => void } {
  const path = mkdtempSync(join(tmpdir(), "millrace-test-"));
  return { path, dispose: () => rmSync(path, { recursive: true, force: true }) };
}

/** The example's events as JSON texts, in order of the file. */
export function exampleClicks(): string[] {
  return readClicks(readFileSync(join(ROOT, "examples", "clickstream", "clicks.csv.gz")));
}
