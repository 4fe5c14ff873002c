// What /metrics shows of threads and query process, read at each scrape.
import type { QueryService } from "../query/service.ts";
import type { MetricRegistry } from "../serve/metrics.ts";
import type { Fleet } from "./fleet.ts";
import type { EngineStatus } from "./messages.ts";

/** Registers every gauge of a fleet. */
export function registerFleetMetrics(
  metrics: MetricRegistry,
  fleet: Fleet,
  queries: QueryService,
): void {
  readFleet(metrics, fleet);
  readEngine(metrics, () => fleet.status().engine);
  readKeys(metrics, () => fleet.status().engine);
  readSteps(metrics, () => fleet.status().engine);
  readQueries(metrics, queries);
  metrics.read("millrace_process_bytes", "Resident memory of this process.", () =>
    process.memoryUsage.rss(),
  );
}

function readFleet(metrics: MetricRegistry, fleet: Fleet): void {
  metrics.read(
    "millrace_log_position",
    "Last durable log position.",
    () => fleet.status().durablePosition,
  );
  metrics.read("millrace_log_bytes", "Bytes of the log on disk.", () => fleet.status().logBytes);
  metrics.read(
    "millrace_ingest_requests_open",
    "Requests taken and not answered yet.",
    () => fleet.status().openRequests,
  );
  metrics.read("millrace_reader_position", "Log position of each reader.", () => [
    ...(fleet.status().engine?.views ?? []).map(({ view, position }) => ({
      labels: { reader: `view:${view}` },
      value: position,
    })),
    ...fleet
      .status()
      .readers.map(({ reader, position }) => ({ labels: { reader }, value: position })),
  ]);
}

function readEngine(metrics: MetricRegistry, engine: () => EngineStatus | null): void {
  metrics.read("millrace_fold_bytes", "Bytes of open windows.", () => engine()?.foldBytes ?? 0);
  metrics.read(
    "millrace_view_events_total",
    "Events of each view by what became of them.",
    () =>
      (engine()?.views ?? []).flatMap((status) =>
        (["filtered", "late", "failed", "applied"] as const).map((outcome) => ({
          labels: { view: status.view, outcome },
          value: status[outcome],
        })),
      ),
    "counter",
  );
  metrics.read("millrace_view_pending_events", "Events of each view in open windows.", () =>
    (engine()?.views ?? []).map(({ view, pending }) => ({ labels: { view }, value: pending })),
  );
  metrics.read("millrace_view_groups", "Open groups of each view.", () =>
    (engine()?.views ?? []).map(({ view, groups }) => ({ labels: { view }, value: groups })),
  );
  metrics.read(
    "millrace_watermark_seconds",
    "Watermark of each stream, seconds since the epoch.",
    () =>
      (engine()?.streams ?? []).flatMap(({ stream, watermarkUs }) =>
        watermarkUs === null
          ? []
          : [{ labels: { stream }, value: Number(watermarkUs) / 1_000_000 }],
      ),
  );
  metrics.read("millrace_source_partitions", "Source partitions of each stream by state.", () =>
    (engine()?.streams ?? []).flatMap(({ stream, partitions }) =>
      (["connected", "idle", "disconnected", "paused"] as const).map((state) => ({
        labels: { stream, state },
        value: partitions.filter((partition) => partition.state === state).length,
      })),
    ),
  );
  metrics.read(
    "millrace_stream_events_total",
    "Events of each stream by what their senders were told.",
    () =>
      (engine()?.accounts.streams ?? []).flatMap((account) =>
        (["accepted", "duplicates", "rejected"] as const).map((outcome) => ({
          labels: { stream: account.stream, outcome },
          value: account[outcome],
        })),
      ),
    "counter",
  );
  metrics.read("millrace_dedup_ids", "Event ids in memory for each stream.", () =>
    (engine()?.streams ?? []).map(({ stream, liveIds }) => ({
      labels: { stream },
      value: liveIds,
    })),
  );
  metrics.read("millrace_dedup_sealed_ids", "Event ids sealed on disk for each stream.", () =>
    (engine()?.streams ?? []).map(({ stream, sealedIds }) => ({
      labels: { stream },
      value: sealedIds,
    })),
  );
}

function readKeys(metrics: MetricRegistry, engine: () => EngineStatus | null): void {
  metrics.read(
    "millrace_idempotency_keys",
    "Requests with an Idempotency-Key whose answers are kept.",
    () => engine()?.keys.kept ?? 0,
  );
  metrics.read(
    "millrace_idempotency_replays_total",
    "Requests that were answered as the first with their Idempotency-Key.",
    () => engine()?.keys.replays ?? 0,
    "counter",
  );
}

/** What other work of the engine's thread had to wait for. */
function readSteps(metrics: MetricRegistry, engine: () => EngineStatus | null): void {
  metrics.read(
    "millrace_engine_step_seconds_max",
    "Longest step of the engine since the start that other work waited for.",
    () => {
      const longest = engine()?.longest;
      if (longest === undefined) return [];
      return [
        { labels: { step: "catch_up" }, value: longest.catchUpUs / 1_000_000 },
        { labels: { step: "checkpoint" }, value: longest.checkpointUs / 1_000_000 },
        { labels: { step: "picture" }, value: longest.pictureUs / 1_000_000 },
      ];
    },
  );
}

function readQueries(metrics: MetricRegistry, queries: QueryService): void {
  metrics.read(
    "millrace_queries_running",
    "Questions being answered.",
    () => queries.status().running,
  );
  metrics.read(
    "millrace_queries_waiting",
    "Questions that wait for a place.",
    () => queries.status().waiting,
  );
  metrics.read(
    "millrace_query_process_bytes",
    "Resident memory of the query process.",
    () => queries.status().rssBytes,
  );
}
