// Verb: what `/` shows: where to send events and questions.
import type { ServeDeps } from "./deps.ts";

/** A page of text for a person with curl or a browser. `origin` is how the client reached us: `http://127.0.0.1:8080`. */
export function indexText(deps: ServeDeps, origin: string): string {
  const { ingest, views, version, keyHash, status } = deps;
  const { ready, position } = status();
  const auth = keyHash === null ? "" : " -H 'Authorization: Bearer KEY'";
  const relation = views[0] ?? ingest.streams[0] ?? "millrace.watermarks";
  return [
    `Millrace ${version}: ${ready ? "ready" : "not ready"}, log position ${position}`,
    "",
    `streams  ${ingest.streams.join(", ")}`,
    `views    ${views.join(", ") || "none"}`,
    "system   millrace.late_events, millrace.dead_letters, millrace.view_errors, millrace.watermarks, millrace.accounting, millrace.readers, millrace.reconciled",
    "",
    'Send events (an object, an array, {"events":[...]}, or application/x-ndjson; gzip and zstd):',
    ...ingest.streams.map(
      (stream) =>
        `  curl${auth} ${origin}/v1/events/${stream} -H 'Content-Type: application/json' -d '{...}'`,
    ),
    "",
    "Ask:",
    `  curl${auth} ${origin}/v1/sql -d 'SELECT * FROM ${relation} LIMIT 10'`,
    `  curl${auth} '${origin}/v1/sql?format=csv' -d 'SELECT * FROM millrace.watermarks'`,
    "",
    "Probes and metrics: /health /ready /metrics",
    "",
  ].join("\n");
}
