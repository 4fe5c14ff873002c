// Adapter: a client of a running appliance, over its own HTTP interface. Used by the commands that ask one.
import { isoTime } from "../base/iso-time.ts";
import type { ReconcileProgress, ReconcileReport } from "../reconcile/tally.ts";
import type { SavepointProgress, SavepointReport } from "../savepoint/savepoint.ts";
import type { ReconcileRequest } from "./deps.ts";
import { fromWire } from "./wire-names.ts";

/** An answer of POST /v1/events. */
export interface SentAnswer {
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: number;
  readonly errors: readonly {
    readonly index: number;
    readonly reason: string;
    readonly message: string;
  }[];
  readonly position: number;
}

/** Rows of POST /v1/sql. */
export interface Rows {
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly rows: readonly (readonly unknown[])[];
  /** The log position that the answer is of. */
  readonly position: number;
}

/** A line of what takes long; the last one is no progress. */
type RunLine<Progress, Report> =
  | { readonly progress: Progress }
  | { readonly report: Report }
  | { readonly problem: { readonly detail: string } };

/** The appliance answered with a problem, or not at all. The message says what to do. */
export class ApplianceError extends Error {
  override readonly name = "ApplianceError";
}

/** Attempts at one request while the appliance says "not now" (503). */
const ATTEMPTS_MAX = 30;

/** What is shown of an answer that is not Millrace's. */
const SAID_CHARACTERS_MAX = 80;

export class Client {
  readonly #url: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #absentAdvice: string;

  /** `url` without a path: `http://127.0.0.1:8080`; what to do when nobody answers there. */
  constructor(url: string, key: string | null, absentAdvice = "start it with millrace serve") {
    this.#absentAdvice = absentAdvice;
    this.#url = url.replace(/\/+$/, "");
    this.#headers = key === null ? {} : { authorization: `Bearer ${key}` };
  }

  async #post(path: string, type: string, body: string): Promise<unknown> {
    return this.#json(await this.#open(path, type, body));
  }

  /** What an appliance answers is JSON; that of a proxy, or of another server, may be anything. */
  async #json(response: Response): Promise<unknown> {
    const text = await response.text();
    try {
      return JSON.parse(text);
    } catch {
      const said = JSON.stringify(text.slice(0, SAID_CHARACTERS_MAX));
      throw new ApplianceError(
        `${this.#url} answers ${response.status} ${said}, as Millrace does not; name where it serves with --url`,
      );
    }
  }

  /** An answer that is no problem, not read. */
  async #open(path: string, type: string, body: string): Promise<Response> {
    for (let attempt = 1; ; attempt++) {
      let response: Response;
      try {
        response = await fetch(this.#url + path, {
          method: "POST",
          headers: { ...this.#headers, "content-type": type },
          body,
        });
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        throw new ApplianceError(`${this.#url} does not answer (${why}); ${this.#absentAdvice}`);
      }
      if (response.ok) return response;
      if (response.status === 503 && attempt < ATTEMPTS_MAX) {
        await Bun.sleep(1000 * Number(response.headers.get("retry-after") ?? 1));
        continue;
      }
      const { detail } = (await this.#json(response)) as { readonly detail?: string };
      throw new ApplianceError(`POST ${path}: ${response.status}: ${detail ?? "no reason"}`);
    }
  }

  /** Sends events, one JSON text each, as one body. Waits and repeats while the appliance is not ready. */
  async send(stream: string, events: readonly string[]): Promise<SentAnswer> {
    const path = `/v1/events/${stream}`;
    return (await this.#post(path, "application/x-ndjson", `${events.join("\n")}\n`)) as SentAnswer;
  }

  /** Reconciles a view's windows; `tell` hears how far it is. */
  reconcile(
    { view, fromUs, toUs, isDry }: ReconcileRequest,
    tell: (progress: ReconcileProgress) => void,
  ): Promise<ReconcileReport> {
    const wanted = { view, from: isoTime(fromUs), to: isoTime(toUs), dry_run: isDry };
    const broken =
      "the appliance ended in the middle; what it told as done is done, run it again for the rest";
    return this.#follow({ path: "/v1/reconcile", wanted, broken }, tell);
  }

  /** Makes a savepoint in a folder of the appliance's machine; `tell` hears how far it is. */
  savepoint(to: string, tell: (progress: SavepointProgress) => void): Promise<SavepointReport> {
    const broken = `the appliance ended in the middle: there is no savepoint in ${to}; remove what is there and make it again`;
    return this.#follow({ path: "/v1/savepoint", wanted: { to }, broken }, tell);
  }

  /** Starts what takes long and hears of its progress until it has ended. */
  async #follow<Progress, Report>(
    run: { readonly path: string; readonly wanted: object; readonly broken: string },
    tell: (progress: Progress) => void,
  ): Promise<Report> {
    const response = await this.#open(run.path, "application/json", JSON.stringify(run.wanted));
    let rest = "";
    const decoder = new TextDecoder();
    try {
      for await (const part of response.body ?? []) {
        const lines = (rest + decoder.decode(part, { stream: true })).split("\n");
        rest = lines.pop() ?? "";
        for (const line of lines) {
          const said = fromWire(JSON.parse(line)) as RunLine<Progress, Report>;
          if ("report" in said) return said.report;
          if ("problem" in said) throw new ApplianceError(said.problem.detail);
          tell(said.progress);
        }
      }
    } catch (error) {
      if (error instanceof ApplianceError) throw error;
      // the connection broke
      throw new ApplianceError(run.broken, { cause: error });
    }
    throw new ApplianceError(run.broken);
  }

  /** Asks; with `after` the answer holds that log position. */
  async ask(sql: string, after: number | null = null): Promise<Rows> {
    const body = JSON.stringify({ sql, ...(after === null ? {} : { after }) });
    return (await this.#post("/v1/sql", "application/json", body)) as Rows;
  }
}
