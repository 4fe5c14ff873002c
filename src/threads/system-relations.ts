// The millrace.* relations that a pin holds as rows: how streams, views and readers stood. Text of numbers and µs, as query/pin.ts wants it.
import type { InlineRelation } from "../query/pin.ts";
import { unaccounted, type Accounts } from "../reader/accounting.ts";
import type { RecordedRange } from "../window/reconciled.ts";
import type { EngineStatus, ReaderPosition, StreamStatus } from "./messages.ts";

type Row = (string | null)[];

/** All of them. `accounts` and `reconciled`: at the pin's position; `status`: of now. */
export function systemRelations(
  engine: {
    readonly status: EngineStatus;
    readonly accounts: Accounts;
    readonly reconciled: readonly RecordedRange[];
  },
  log: { readonly durablePosition: number; readonly readers: readonly ReaderPosition[] },
): InlineRelation[] {
  const { status, accounts } = engine;
  return [
    watermarks(status, accounts),
    accounting(accounts),
    readers(status, log),
    reconciled(engine.reconciled),
  ];
}

/** Late events up to `raw_position` count for windows that start from `window_from` on and before `window_to`, and since `received_at`. */
function reconciled(ranges: readonly RecordedRange[]): InlineRelation {
  return {
    name: "millrace.reconciled",
    columns: [
      { name: "view", type: "VARCHAR" },
      { name: "window_from", type: "TIMESTAMPTZ" },
      { name: "window_to", type: "TIMESTAMPTZ" },
      { name: "raw_position", type: "BIGINT" },
      { name: "received_at", type: "TIMESTAMPTZ" },
    ],
    rows: ranges.map(({ view, fromUs, toUs, position, receivedAtUs }) => [
      view,
      fromUs.toString(),
      toUs.toString(),
      String(position),
      String(receivedAtUs),
    ]),
  };
}

/** The stream's watermark is that of the pin's position; the other columns are of now. */
function watermarks(status: EngineStatus, accounts: Accounts): InlineRelation {
  return {
    name: "millrace.watermarks",
    columns: [
      { name: "stream", type: "VARCHAR" },
      { name: "watermark", type: "TIMESTAMPTZ" },
      { name: "newest_event_time", type: "TIMESTAMPTZ" },
      { name: "live_ids", type: "BIGINT" },
      { name: "partition", type: "VARCHAR" },
      { name: "state", type: "VARCHAR" },
      { name: "partition_watermark", type: "TIMESTAMPTZ" },
      { name: "partition_newest_event_time", type: "TIMESTAMPTZ" },
      { name: "idle_at", type: "TIMESTAMPTZ" },
      { name: "moved_by", type: "VARCHAR" },
    ],
    rows: status.streams.flatMap((stream) => {
      const pinned = accounts.watermarks.find((one) => one.stream === stream.stream);
      return watermarkRows({ ...stream, watermarkUs: pinned?.watermarkUs ?? null });
    }),
  };
}

/** One a source partition, one of a stream that has none yet. */
function watermarkRows(status: StreamStatus): Row[] {
  const { stream, movedBy, watermarkUs, newestEventTimeUs, liveIds, partitions } = status;
  const own = [stream, watermarkUs, newestEventTimeUs, String(liveIds)];
  if (partitions.length === 0) return [[...own, null, null, null, null, null, movedBy]];
  return partitions.map((at) => [
    ...own,
    at.partition,
    at.state,
    at.watermarkUs,
    at.newestEventTimeUs,
    at.idleAtUs,
    movedBy,
  ]);
}

/** A row a stream, with what its senders were told, and a row a view, with what became of what its stream accepted. */
function accounting({ streams, views }: Accounts): InlineRelation {
  const counts = ["sent", "accepted", "duplicates", "rejected"];
  const fates = ["filtered", "late", "failed", "applied", "pending", "unaccounted"];
  return {
    name: "millrace.accounting",
    columns: [
      ...["kind", "name", "stream"].map((name) => ({ name, type: "VARCHAR" })),
      ...[...counts, ...fates].map((name) => ({ name, type: "BIGINT" })),
    ],
    rows: [
      ...streams.map(({ stream, accepted, duplicates, rejected }): Row => {
        const sent = accepted + duplicates + rejected;
        return [
          "stream",
          stream,
          stream,
          ...[sent, accepted, duplicates, rejected].map(String),
          ...fates.map(() => null),
        ];
      }),
      ...views.map((view): Row => {
        const { filtered, late, failed, applied, pending } = view;
        return [
          "view",
          view.view,
          view.stream,
          null,
          String(view.accepted),
          null,
          null,
          ...[filtered, late, failed, applied, pending, unaccounted(view)].map(String),
        ];
      }),
    ],
  };
}

function readers(
  status: EngineStatus,
  log: { readonly durablePosition: number; readonly readers: readonly ReaderPosition[] },
): InlineRelation {
  const all = [
    {
      reader: "admission",
      position: status.admitted,
      durable: null,
      since: null,
      state: "running",
    },
    ...status.views.map(({ view, position, since, state }) => ({
      reader: `view:${view}`,
      position,
      durable: null,
      since,
      state,
    })),
    ...log.readers.map((reader) => ({ ...reader, since: null, state: "running" })),
  ];
  return {
    name: "millrace.readers",
    columns: [
      { name: "reader", type: "VARCHAR" },
      { name: "position", type: "BIGINT" },
      { name: "lag", type: "BIGINT" },
      { name: "ledger_position", type: "BIGINT" },
      { name: "since", type: "BIGINT" },
      { name: "state", type: "VARCHAR" },
    ],
    rows: all.map(({ reader, position, durable, since, state }) => [
      reader,
      String(position),
      String(Math.max(0, log.durablePosition - position)),
      durable === null ? null : String(durable),
      since === null ? null : String(since),
      state,
    ]),
  };
}
