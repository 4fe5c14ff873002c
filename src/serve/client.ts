// Adapter: a client of a running appliance, over its own HTTP interface. Used by `play` and `demo`.

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

/** The appliance answered with a problem, or not at all. The message says what to do. */
export class ApplianceError extends Error {
  override readonly name = "ApplianceError";
}

/** Attempts at one request while the appliance says "not now" (503). */
const ATTEMPTS_MAX = 30;

export class Client {
  readonly #url: string;
  readonly #headers: Readonly<Record<string, string>>;

  /** `url` without a path: `http://127.0.0.1:8080`. */
  constructor(url: string, key: string | null) {
    this.#url = url.replace(/\/+$/, "");
    this.#headers = key === null ? {} : { authorization: `Bearer ${key}` };
  }

  async #post(path: string, type: string, body: string): Promise<unknown> {
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
        throw new ApplianceError(
          `${this.#url} does not answer (${why}); start it with millrace serve`,
        );
      }
      const answer = (await response.json()) as { readonly detail?: string };
      if (response.status === 503 && attempt < ATTEMPTS_MAX) {
        await Bun.sleep(1000 * Number(response.headers.get("retry-after") ?? 1));
        continue;
      }
      if (answer.detail !== undefined)
        throw new ApplianceError(`POST ${path}: ${response.status}: ${answer.detail}`);
      return answer;
    }
  }

  /** Sends events, one JSON text each, as one body. Waits and repeats while the appliance is not ready. */
  async send(stream: string, events: readonly string[]): Promise<SentAnswer> {
    const path = `/v1/events/${stream}`;
    return (await this.#post(path, "application/x-ndjson", `${events.join("\n")}\n`)) as SentAnswer;
  }

  /** Asks; with `after` the answer holds that log position. */
  async ask(sql: string, after: number | null = null): Promise<Rows> {
    const body = JSON.stringify({ sql, ...(after === null ? {} : { after }) });
    return (await this.#post("/v1/sql", "application/json", body)) as Rows;
  }
}
