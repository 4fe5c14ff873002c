// Views are parsed by DuckDB in a process of their own, which ends when the configuration is checked: the library and what it allocates
// would stay with the parent for good (40 MB from source, 65 MB as an executable). Wiring: what a view means is view/parse.ts's.
import { must } from "../base/assert.ts";
import { ViewParser, type ViewResult, type ViewSource } from "../view/parse.ts";

type Pending = ReturnType<typeof Promise.withResolvers<ViewResult>>;

/** The process as its parent sees it. Begins at once, so that it starts while the configuration is read. Close it when done. */
export class ViewCheck {
  readonly #child: Bun.Subprocess;
  /** In the order of the questions, which is that of the answers. */
  #pending: Pending[] = [];
  #ended: Error | null = null;

  /** `command`: executable and arguments with which this program calls `runViewCheck`. */
  constructor(command: readonly string[]) {
    this.#child = Bun.spawn({
      cmd: [...command],
      stdio: ["ignore", "inherit", "inherit"],
      // As between threads: a plan has 64-bit constants.
      serialization: "advanced",
      ipc: (result: ViewResult) => this.#pending.shift()?.resolve(result),
      onExit: (_, code, signal) => this.#end(`it ended with ${code ?? signal ?? "no code"}`),
    });
  }

  /** Rejects when the process fails. */
  parse(source: ViewSource): Promise<ViewResult> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    const pending: Pending = Promise.withResolvers();
    this.#pending.push(pending);
    this.#child.send(source);
    return pending.promise;
  }

  close(): void {
    this.#child.kill("SIGKILL");
  }

  #end(why: string): void {
    this.#ended = new Error(`the process that checks views cannot be asked: ${why}`);
    for (const { reject } of this.#pending) reject(this.#ended);
    this.#pending = [];
  }
}

/** What runs in the process: answers until its parent goes away. */
export function runViewCheck(): void {
  const send = must(process.send?.bind(process), "the channel to the parent");
  const opened = ViewParser.open();
  process.on("message", (source: ViewSource) => {
    void opened.then((parser) => parser.parse(source)).then((result) => send(result));
  });
  process.on("disconnect", () => process.exit(0));
}
