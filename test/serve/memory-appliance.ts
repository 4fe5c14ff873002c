// An appliance in memory behind the routes' interface: keeps events, finds duplicates by `id`, refuses what is no object. Honest:
// its counts are what it holds. Its questions give back what was asked.
import { systemClock } from "../../src/base/clock.ts";
import type { EventError, IngestAnswer, Question, ServeDeps } from "../../src/serve/deps.ts";
import { refuse } from "../../src/serve/problem.ts";
import { MetricRegistry } from "../../src/serve/metrics.ts";
import { startServer } from "../../src/serve/server.ts";
import type { RunningServer } from "../../src/serve/server.ts";

function eventsOf(text: string, format: "json" | "ndjson"): unknown[] {
  const parse = (part: string): unknown => {
    try {
      return JSON.parse(part) as unknown;
    } catch {
      return undefined;
    }
  };
  if (format === "ndjson")
    return text
      .split("\n")
      .filter((line) => line.trim() !== "")
      .map(parse);
  const value = parse(text);
  if (
    typeof value === "object" &&
    value !== null &&
    "events" in value &&
    Array.isArray(value.events)
  )
    return value.events;
  return Array.isArray(value) ? value : [value];
}

/** Events kept by stream, and every question asked. */
export class MemoryAppliance {
  readonly events = new Map<string, Map<string, unknown>>();
  readonly questions: Question[] = [];
  readonly logLines: string[] = [];
  ready = true;
  #position = 0;

  submit(stream: string, body: Uint8Array, format: "json" | "ndjson"): IngestAnswer {
    const kept = this.events.get(stream) ?? new Map<string, unknown>();
    this.events.set(stream, kept);
    const errors: EventError[] = [];
    const counts = { accepted: 0, duplicates: 0, rejected: 0 };
    for (const [index, event] of eventsOf(new TextDecoder().decode(body), format).entries()) {
      if (typeof event !== "object" || event === null || !("id" in event)) {
        counts.rejected++;
        errors.push({ index, reason: "not_an_object", field: null, message: "no object" });
      } else if (kept.has(String(event.id))) counts.duplicates++;
      else {
        counts.accepted++;
        kept.set(String(event.id), event);
      }
    }
    if (counts.accepted > 0) this.#position++;
    return { kind: "answer", ...counts, errors, position: this.#position };
  }

  deps(streams: readonly string[], keyHash: Uint8Array | null): ServeDeps {
    return {
      ingest: {
        streams,
        submit: ({ stream, body, format }, reply) =>
          reply(this.submit(stream, Buffer.concat(body), format)),
      },
      reconcile: {
        start: ({ view, isDry }, tell) => {
          tell({ lateEventsDone: 0, lateEventsAll: 2 });
          const report = { view, rawPosition: 7, windows: isDry ? 1 : 2, lateEvents: 3 };
          const outcome =
            view === "v"
              ? { ...report, rows: [], skipped: [] }
              : refuse(400, "not_reconcilable", `${view} has sessions`);
          return { outcome: Promise.resolve(outcome) };
        },
      },
      savepoints: {
        start: (to, tell) => {
          tell({ step: "state", bytes: 5 });
          const report = {
            folder: to,
            position: 7,
            files: 3,
            bytes: 9,
            linkedFiles: 1,
            linkedBytes: 2,
          };
          const outcome = to.startsWith("/")
            ? { ...report, foreignTables: [] }
            : refuse(400, "no_savepoint", `${to} is not an absolute path`);
          return { outcome: Promise.resolve(outcome) };
        },
      },
      questions: {
        ask: (question) => {
          this.questions.push(question);
          const text = JSON.stringify({ asked: question.sql });
          return Promise.resolve(
            question.sql.startsWith("FAIL")
              ? {
                  kind: "refusal",
                  status: 503,
                  code: "lagging",
                  detail: "view v lags",
                  retryAfterS: 1.5,
                }
              : { kind: "answer", body: Buffer.from(text), position: 7, rowCount: 1 },
          );
        },
      },
      status: () => ({
        ready: this.ready,
        healthy: true,
        problems: this.ready ? [] : ["it is recovering"],
        position: this.#position,
      }),
      metrics: new MetricRegistry(),
      keyHash,
      version: "0.1.0",
      views: ["page_views"],
      openFilesMax: 1000,
      requestTimeoutMs: 30_000,
      idleTimeoutS: 120,
      requestIdPrefix: "test",
      logLine: (line) => void this.logLines.push(line),
    };
  }
}

/** The real HTTP server over a memory appliance, on a free port of the loopback address. */
export function serveMemory(
  streams: readonly string[] = ["clicks"],
  keyHash: Uint8Array | null = null,
): { readonly appliance: MemoryAppliance; readonly server: RunningServer; readonly url: string } {
  const appliance = new MemoryAppliance();
  const address = { host: "127.0.0.1", port: 0 };
  const server = startServer(appliance.deps(streams, keyHash), address, systemClock());
  return { appliance, server, url: server.url };
}
