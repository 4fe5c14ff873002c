// The configuration's one table: key -> type, default, description. Flags, environment variables, `--help`, the JSON schema, the
// README's reference and the types below derive from it. Owns what keys there are; config/load.ts reads a file against it.

import {
  DEDUP_IDS_CEILING,
  DEDUP_IDS_MIN,
  DEDUP_TTL_US_MAX,
  LATE_ALLOWED_US_MAX,
  QUERY_THREADS_MAX,
} from "./limits.ts";
import type { RollupLevel } from "./view/rollup.ts";

/** What a value may be. Durations are kept in µs, sizes in bytes. */
export type ValueType =
  | "text"
  | "path"
  | "duration"
  | "size"
  | "count"
  | "switch"
  | "address"
  | "policy"
  | "rollups";

/** One key. `default` is as a user would write it; null = none. A required key has no default. */
export interface Key {
  readonly type: ValueType;
  readonly default: string | null;
  readonly required?: true;
  /** 0 is a sensible value. */
  readonly zero?: true;
  /** Bounds of a duration, size or number, both included, as a user would write them. */
  readonly least?: string;
  readonly most?: string;
  /** Short name as a flag (`--data`) and in the environment (`MILLRACE_DATA`). */
  readonly short?: string;
  readonly description: string;
}

type Table = Readonly<Record<string, Key>>;

function days(us: number): string {
  return `${us / 86_400_000_000}d`;
}

/** Keys below `streams.<name>`. */
export const STREAM_KEYS = {
  schema: {
    type: "path",
    default: null,
    required: true,
    description: "The Avro schema of an event (.avsc), relative to the configuration file.",
  },
  event_time: {
    type: "text",
    default: null,
    required: true,
    description:
      "The member that says when the event happened: a required timestamp of the schema; or received_at: when it was received.",
  },
  event_id: {
    type: "text",
    default: null,
    description: "The member that identifies an event; without it nothing is a duplicate.",
  },
  dedup_ttl: {
    type: "duration",
    default: "24h",
    most: days(DEDUP_TTL_US_MAX),
    description: "How long after an event was received the same id is a duplicate.",
  },
  dedup_ids_max: {
    type: "count",
    default: "24000000",
    least: String(DEDUP_IDS_MIN),
    most: String(DEDUP_IDS_CEILING),
    description: "Ids in memory at most, 23 to 30 bytes each; older ones are sealed on disk.",
  },
  dedup_disk_max: {
    type: "size",
    default: "4GB",
    description:
      "Disk for sealed ids, 18 bytes each, and 2 bytes each of memory; when it is full too, events are answered 503 until older ids expire.",
  },
  out_of_orderness: {
    type: "duration",
    default: "10s",
    zero: true,
    description:
      "How far behind the newest event others may come without being late; 0s where nothing else is written with event_time: received_at and with watermark.punctuated.",
  },
  idle_after: {
    type: "duration",
    default: null,
    description:
      "After this long without a request a source partition no longer holds the watermark back; unset: it does for ever.",
  },
  "watermark.punctuated": {
    type: "text",
    default: null,
    description:
      "A condition over an event, as after WHERE: only events that satisfy it move the watermark, to their time. Unset: every event does.",
  },
  max_future: {
    type: "duration",
    default: "5m",
    zero: true,
    description: "Events further ahead of their receipt than this are dead letters.",
  },
  max_past: {
    type: "duration",
    default: null,
    zero: true,
    description:
      "Events further behind the newest seen than this are dead letters; unset: no bound.",
  },
} as const satisfies Table;

/** Keys below `views.<name>`. */
export const VIEW_KEYS = {
  sql: {
    type: "text",
    default: null,
    required: true,
    description:
      "A SELECT over a stream, or over tumble, hop or session of one, in DuckDB's dialect (see Views).",
  },
  "late.policy": {
    type: "policy",
    default: "side",
    description:
      "What becomes of an event whose window is closed. side: a row in millrace.late_events; update: it corrects the window for late.allowed, then side; drop: it is counted.",
  },
  "late.allowed": {
    type: "duration",
    default: null,
    most: days(LATE_ALLOWED_US_MAX),
    description: "How long after its end late events correct a window, with late.policy: update.",
  },
  "late.reconcile_every": {
    type: "duration",
    default: null,
    least: "1s",
    most: days(LATE_ALLOWED_US_MAX),
    description:
      "How often late events are brought into final windows, as millrace reconcile does; unset: only by that command. Not for sessions under drop.",
  },
  memory_max: {
    type: "size",
    default: null,
    least: "64KB",
    description:
      "State of the view and its rollups together at most. Closed windows that late events may still correct go to disk first; beyond it they are suspended and /health says so, others go on; a start with a higher one lets them go on where they stopped, out of the raw table where the log has been trimmed. Unset: as long as all views together have room.",
  },
  rollups: {
    type: "rollups",
    default: null,
    description:
      "Coarser windows that merge those of the view, each a view of its own: [1 hour, 1 day], {every: 1 day, time_zone: Europe/Berlin} for calendar days.",
  },
} as const satisfies Table;

/** Keys of the appliance itself. */
export const SETTING_KEYS = {
  "server.listen": {
    type: "address",
    default: "127.0.0.1:8080",
    short: "listen",
    description: "HOST:PORT to serve on; port 0 takes a free one. Other than loopback needs a key.",
  },
  "server.shutdown_timeout": {
    type: "duration",
    default: "30s",
    least: "1s",
    most: "1h",
    description:
      "How long a stop may take: requests are finished, a checkpoint and the tables are written. What is not done by then the next start does from the log.",
  },
  "storage.path": {
    type: "path",
    default: "./data",
    short: "data",
    description: "The data folder: log, state and warehouse; in the file, relative to it.",
  },
  "log.size_max": {
    type: "size",
    default: "8GB",
    description:
      "Bytes of the log at most, 2 x log.file_size + 82 MB or more; when the readers are that far behind, producers get 503.",
  },
  "log.file_size": {
    type: "size",
    default: "128MB",
    least: "64KB",
    description: "Size at which the log begins its next file; whole files are trimmed.",
  },
  "checkpoint.interval": {
    type: "duration",
    default: "10s",
    least: "100ms",
    most: "1h",
    description: "How often state is saved; a restart replays about this much of the log.",
  },
  "export.raw": {
    type: "switch",
    default: "on",
    description:
      "Whether raw events are written to Iceberg; off: they leave with the log's trimming.",
  },
  "export.interval": {
    type: "duration",
    default: "10s",
    least: "100ms",
    most: "1d",
    description: "Raw events are written to a file once the oldest unwritten one is this old.",
  },
  "export.rows": {
    type: "count",
    default: "1000000",
    description: "... or once this many rows wait.",
  },
  "query.timeout": {
    type: "duration",
    default: "30s",
    least: "1ms",
    most: "1d",
    description: "A query that runs longer is stopped.",
  },
  "query.memory_limit": {
    type: "size",
    default: "1GB",
    description:
      "DuckDB's memory in the query process: each of up to four questions at a time has a quarter.",
  },
  "query.threads": {
    type: "count",
    default: "2",
    most: String(QUERY_THREADS_MAX),
    description: "DuckDB's threads for one question.",
  },
  "ship.to": {
    type: "text",
    default: null,
    description:
      "s3://BUCKET/PREFIX of an S3-compatible store, to which the log and, from time to time, everything else is copied (see Off the disk); unset: nothing is.",
  },
  "ship.endpoint": {
    type: "text",
    default: null,
    description: "URL of the store, https://minio.example:9000; unset: Amazon's.",
  },
  "ship.region": {
    type: "text",
    default: "us-east-1",
    description: "Region of the bucket.",
  },
  "ship.path_style": {
    type: "switch",
    default: "off",
    description: "Whether the bucket is in the URL's path, not in its host, as MinIO has it.",
  },
  "ship.interval": {
    type: "duration",
    default: "5m",
    least: "1s",
    most: "7d",
    description: "How often state, ledger and tables are shipped: a restore replays the log since.",
  },
  "ship.log_interval": {
    type: "duration",
    default: "5s",
    least: "100ms",
    most: "1h",
    description:
      "How often the log is shipped: with the time of an upload, what is lost with the machine.",
  },
  "ship.keep": {
    type: "count",
    default: "3",
    description: "Shipments that are kept, each with the log since; older ones are removed.",
  },
} as const satisfies Table;

/** Keys of later releases: refused as such, not as unknown. `*` stands for any name. */
export const LATER_KEYS: readonly string[] = [
  "streams.*.kafka",
  "streams.*.compatibility",
  "views.*.ttl",
  "server.tls",
  "server.postgres",
  "server.cors",
  "storage.s3",
  "catalog",
  "registry",
  "sinks",
  "alerts",
  "retention",
];

type Camel<S extends string> = S extends `${infer A}_${infer B}`
  ? `${A}${Capitalize<Camel<B>>}`
  : S;
type Unit<T extends ValueType> = T extends "duration" ? "Us" : T extends "size" ? "Bytes" : "";
type Plain<T extends ValueType> = T extends "duration" | "size" | "count"
  ? number
  : T extends "switch"
    ? boolean
    : T extends "address"
      ? Address
      : T extends "policy"
        ? "side" | "update" | "drop"
        : T extends "rollups"
          ? readonly RollupLevel[]
          : string;
type ValueOf<K extends Key> = K extends { required: true }
  ? Plain<K["type"]>
  : K["default"] extends string
    ? Plain<K["type"]>
    : Plain<K["type"]> | null;
/** `out_of_orderness` -> `outOfOrdernessUs`; `late.policy` stays one level: `latePolicy`. */
type Fields<T extends Table> = {
  readonly [K in keyof T & string as `${Camel<Dotless<K>>}${Unit<T[K]["type"]>}`]: ValueOf<T[K]>;
};
type Dotless<S extends string> = S extends `${infer A}.${infer B}` ? `${A}_${B}` : S;
type Group<K> = K extends `${infer G}.${string}` ? G : never;
type InGroup<T extends Table, G extends string> = {
  readonly [
    K in keyof T & string as K extends `${G}.${infer N}`
      ? `${Camel<N>}${Unit<T[K]["type"]>}`
      : never
  ]: ValueOf<T[K]>;
};

/** Where to listen. `host` is as written, IPv6 without brackets. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** A stream as configured: `schema` is an absolute path, durations are in µs. */
export type StreamConfig = { readonly name: string } & Fields<typeof STREAM_KEYS>;
/** A view as configured. */
export type ViewConfig = { readonly name: string } & Fields<typeof VIEW_KEYS>;
/** The appliance's settings: `settings.log.sizeMaxBytes`, `settings.checkpoint.intervalUs`, `settings.storage.path` (absolute). */
export type Settings = {
  readonly [G in Group<keyof typeof SETTING_KEYS>]: InGroup<typeof SETTING_KEYS, G>;
};

/** A whole configuration, with defaults filled in. Streams and views are in the file's order. */
export interface Config {
  readonly streams: readonly StreamConfig[];
  readonly views: readonly ViewConfig[];
  readonly settings: Settings;
}

/** Name of a key's field in the types above: `out_of_orderness`, duration -> `outOfOrdernessUs`. */
export function fieldName(key: string, type: ValueType): string {
  const unit = type === "duration" ? "Us" : type === "size" ? "Bytes" : "";
  return key.replaceAll(/[._]([a-z])/g, (_, letter: string) => letter.toUpperCase()) + unit;
}
