// Pure: metadata of a table that is ahead of the ledger -> the same without what came after the ledger's moment. See ICEBERG's "rollback"; unlike
// it the snapshots that are left behind leave the metadata too: their markers would say for ever that rows are out which are not.
import { listAt, markerSummary, nextTimestampMs, objectAt, readMarker } from "./metadata.ts";
import type { Marker } from "./metadata.ts";
import { plainText, type Json, type JsonObject } from "./lossless-json.ts";

/** What the ledger knows. */
export interface LedgerMoment {
  readonly jobId: string;
  /** The last epoch that it has, and the last one that it knows to be in the table. */
  readonly recorded: number;
  readonly committed: number;
  /** The log position of an epoch; null: it does not know the epoch. */
  readonly positionOf: (epoch: number) => number | null;
}

/** A change of the metadata, not published. */
export interface Rollback {
  readonly kind: "rollback";
  readonly metadata: JsonObject;
  /** The marker that the table has then; null: none of our snapshots is left. */
  readonly marker: Marker | null;
  /** What left the metadata. */
  readonly dropped: readonly JsonObject[];
}

export type RollbackDecision = Rollback | { readonly kind: "refuse"; readonly reason: string };

/** Takes a table back to the newest snapshot that holds nothing beyond the ledger, or says why that cannot be. */
export function rollback(
  metadata: JsonObject,
  moment: LedgerMoment,
  at: { readonly nowMs: number; readonly metadataFile: string },
): RollbackDecision {
  const snapshots = listAt(metadata, "snapshots");
  const droppedIds = idsAhead(snapshots, moment);
  const isDropped = (snapshot: JsonObject): boolean => droppedIds.has(snapshot["snapshot-id"]);
  const dropped = snapshots.filter(isDropped);
  const kept = snapshots.filter((snapshot) => !isDropped(snapshot));
  const target = targetOf(metadata, snapshots, droppedIds);
  const marker = kept
    .map(markerOf)
    .reduce((best, one) => ((one?.epoch ?? -1) > (best?.epoch ?? -1) ? one : best), null);
  const reason =
    missingTarget(target, marker, moment) ?? foreignLoss(dropped) ?? namedRef(metadata, droppedIds);
  if (reason !== null) return { kind: "refuse", reason };
  const timestampMs = nextTimestampMs(metadata, at.nowMs);
  const id = target === null || target === "expired" ? null : (target["snapshot-id"] ?? null);
  return {
    kind: "rollback",
    metadata: taken(metadata, { id, kept, marker, timestampMs, metadataFile: at.metadataFile }),
    marker,
    dropped,
  };
}

function markerOf(snapshot: JsonObject): Marker | null {
  return readMarker(objectAt(snapshot, "summary"));
}

/** Snapshots of ours with epochs that the ledger does not have, and all that were made on top of them. */
function idsAhead(
  snapshots: readonly JsonObject[],
  { recorded }: LedgerMoment,
): Set<Json | undefined> {
  const ahead = new Set<Json | undefined>();
  for (let before = -1; before !== ahead.size;) {
    before = ahead.size;
    for (const snapshot of snapshots) {
      const parent = snapshot["parent-snapshot-id"];
      const isAhead = (markerOf(snapshot)?.epoch ?? 0) > recorded;
      if (isAhead || (parent !== undefined && ahead.has(parent)))
        ahead.add(snapshot["snapshot-id"]);
    }
  }
  return ahead;
}

/** The newest snapshot of `main` that stays; null: there was none before those that go; "expired": it is not kept any more. */
function targetOf(
  metadata: JsonObject,
  snapshots: readonly JsonObject[],
  dropped: ReadonlySet<Json | undefined>,
): JsonObject | null | "expired" {
  const byId = new Map(snapshots.map((snapshot) => [snapshot["snapshot-id"], snapshot]));
  let id = metadata["current-snapshot-id"];
  while (id !== undefined && id !== null && id !== -1) {
    const snapshot = byId.get(id);
    if (snapshot === undefined) return "expired";
    // no way leads round in circles
    byId.delete(id);
    if (!dropped.has(id)) return snapshot;
    id = snapshot["parent-snapshot-id"];
  }
  return null;
}

/** The rows that the ledger knows to be in the table must be in what stays. */
function missingTarget(
  target: ReturnType<typeof targetOf>,
  marker: Marker | null,
  { jobId, committed, positionOf }: LedgerMoment,
): string | null {
  if (target === "expired" || (marker?.epoch ?? 0) < committed)
    return `the snapshot of epoch ${committed} is not kept any more`;
  if (marker === null) return null;
  if (marker.jobId === jobId && positionOf(marker.epoch) === marker.position) return null;
  return `its snapshot of epoch ${marker.epoch} is not of this ledger's history (job ${marker.jobId}, log position ${marker.position})`;
}

/** What other programs did on top would be undone; a compaction only gave rows of ours another form. */
function foreignLoss(dropped: readonly JsonObject[]): string | null {
  const foreign = dropped.find((snapshot) => {
    const operation = objectAt(snapshot, "summary")["operation"];
    return markerOf(snapshot) === null && operation !== "replace";
  });
  return foreign === undefined
    ? null
    : `another program has changed it since (snapshot ${plainText(foreign["snapshot-id"])}), which would be undone`;
}

function namedRef(metadata: JsonObject, dropped: ReadonlySet<Json | undefined>): string | null {
  const named = Object.entries(objectAt(metadata, "refs")).find(
    ([name, ref]) => name !== "main" && dropped.has((ref as JsonObject)["snapshot-id"]),
  );
  return named === undefined
    ? null
    : `its branch or tag ${JSON.stringify(named[0])} names a snapshot that would go: drop it first`;
}

function taken(
  metadata: JsonObject,
  to: {
    readonly id: Json;
    readonly kept: readonly JsonObject[];
    readonly marker: Marker | null;
    readonly timestampMs: number;
    readonly metadataFile: string;
  },
): JsonObject {
  const { id, kept, marker, timestampMs } = to;
  const ids = new Set(kept.map((snapshot) => snapshot["snapshot-id"]));
  const isOfKept = (entry: JsonObject): boolean => ids.has(entry["snapshot-id"]);
  const { "current-snapshot-id": _, ...rest } = metadata;
  const { main: __, ...otherRefs } = objectAt(metadata, "refs");
  const properties = Object.entries(objectAt(metadata, "properties"));
  const ofMarker = Object.keys(markerSummary({ jobId: "", epoch: 0, position: 0, watermark: "" }));
  const log = listAt(metadata, "snapshot-log").filter(isOfKept);
  const lists = ["statistics", "partition-statistics"].filter((name) => name in metadata);
  return {
    ...rest,
    ...Object.fromEntries(lists.map((name) => [name, listAt(metadata, name).filter(isOfKept)])),
    ...(id === null ? {} : { "current-snapshot-id": id }),
    "last-updated-ms": timestampMs,
    refs: id === null ? otherRefs : { ...otherRefs, main: { "snapshot-id": id, type: "branch" } },
    properties: {
      ...Object.fromEntries(properties.filter(([name]) => !ofMarker.includes(name))),
      ...(marker === null ? {} : markerSummary(marker)),
    },
    snapshots: kept,
    "snapshot-log":
      id === null ? log : [...log, { "snapshot-id": id, "timestamp-ms": timestampMs }],
    "metadata-log": [
      ...listAt(metadata, "metadata-log"),
      { "metadata-file": to.metadataFile, "timestamp-ms": metadata["last-updated-ms"] ?? 0 },
    ],
  };
}
