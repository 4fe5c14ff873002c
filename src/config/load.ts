// Verb: configuration text, flags and environment -> a whole configuration, or every fault in it. Pure: reads no file, no clock.
// What schemas and SQL mean is checked afterwards (serve/check.ts) with the places that this file gives.
import { dirname, resolve } from "node:path";
import { fieldName, LATER_KEYS, SETTING_KEYS, STREAM_KEYS, VIEW_KEYS } from "../config.ts";
import type { Config, Key, StreamConfig, ViewConfig } from "../config.ts";
import {
  IMAGES_BYTES,
  LOG_ROOM_BYTES,
  QUERY_RUNNING_MAX,
  QUERY_THREAD_BYTES_MIN,
} from "../limits.ts";
import type { Fault, Place } from "./fault.ts";
import { readOverrides, type Override } from "./overrides.ts";
import { similar } from "../base/similar.ts";
import { checkWatermark, withWatermark } from "./watermark.ts";
import { parseValue } from "./values.ts";
import { readYaml, type ListNode, type MapNode, type Node, type ScalarNode } from "./yaml.ts";

/** Everything that decides a configuration. */
export interface ConfigInput {
  readonly text: string;
  /** Absolute path of the file: schemas are found beside it. */
  readonly path: string;
  /** The file's name as faults show it. */
  readonly shown: string;
  /** The working folder: a `--data` is relative to it. */
  readonly workingFolder: string;
  /** Without dashes: `data` -> `./data`, `log.size_max` -> `1GB`. */
  readonly flags: ReadonlyMap<string, string>;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** What was read. With faults, `config` holds what could be read, so that schemas and SQL can still be checked. */
export interface LoadedConfig {
  readonly config: Config;
  readonly faults: readonly Fault[];
  /** The place of a dotted key's value; the file's start when it is not written there. */
  placeOf(key: string): Place;
  /** The place of a line and column (from 1) of a text value: of a view's SQL. */
  placeWithin(key: string, line: number, column: number): Place;
}

type Table = Readonly<Record<string, Key>>;
const STREAMS: Table = STREAM_KEYS;
const VIEWS: Table = VIEW_KEYS;
const SETTINGS: Table = SETTING_KEYS;
const NAME = /^[a-z_][a-z0-9_]{0,62}$/;

class Loader {
  readonly faults: Fault[] = [];
  /** Scalars of the file by dotted key, as written. */
  readonly scalars = new Map<string, ScalarNode>();
  /** Keys that stand in the file, with a value or a fault. */
  readonly #written = new Set<string>();
  readonly #input: ConfigInput;
  readonly #start: Place;
  overrides: ReadonlyMap<string, Override> = new Map();

  constructor(input: ConfigInput) {
    this.#input = input;
    this.#start = { source: input.shown, line: 1, column: 1 };
  }

  isWritten(key: string): boolean {
    return this.overrides.has(key) || this.scalars.has(key);
  }

  fault(place: Place, key: string | null, problem: string, instead: string | null): void {
    this.faults.push({ place, key, problem, instead });
  }

  placeOf(key: string): Place {
    return this.overrides.get(key)?.place ?? this.scalars.get(key)?.place ?? this.#start;
  }

  /** Collects the leaves below `node` into `scalars`, descending where the table has groups. */
  collect(
    node: Node,
    prefix: string,
    path: { readonly table: Table; readonly within: string },
  ): void {
    if (node.kind === "nothing") return;
    if (node.kind !== "map")
      return this.fault(node.place, prefix, "keys are expected here", "write key: value lines");
    for (const { key, keyPlace, node: child } of node.entries) {
      const within = path.within === "" ? key : `${path.within}.${key}`;
      const dotted = prefix === "" ? key : `${prefix}.${key}`;
      const known = Object.keys(path.table);
      this.#written.add(dotted);
      if (known.some((name) => name.startsWith(`${within}.`)))
        this.collect(child, dotted, { table: path.table, within });
      else if (!known.includes(within)) this.#unknown(keyPlace, dotted, { key, within, known });
      else if (child.kind === "scalar") this.scalars.set(dotted, child);
      else if (child.kind === "list" && path.table[within]?.type === "rollups")
        this.#list(dotted, child);
      else if (child.kind === "nothing")
        this.fault(child.place, dotted, "it has no value", "write one or leave the key out");
      else this.fault(child.place, dotted, "one value is expected here", null);
    }
  }

  /** A list of rollups as the text that a flag would have. */
  #list(dotted: string, { place, items }: ListNode): void {
    const texts = items.map((item) => {
      if (item.kind === "scalar") return item.text;
      if (item.kind !== "map") return null;
      const parts = ["every", "time_zone"].map((key) => entryOf(item, key)?.node);
      const known = parts.filter((part) => part !== undefined);
      if (known.length < item.entries.length) return null;
      return known.map((part) => (part.kind === "scalar" ? part.text : "?")).join(" ");
    });
    if (texts.includes(null))
      return this.fault(
        place,
        dotted,
        "this is no list of rollups",
        "write [1 hour, {every: 1 day, time_zone: Europe/Berlin}]",
      );
    this.scalars.set(dotted, {
      kind: "scalar",
      place,
      text: texts.join(", "),
      within: () => place,
    });
  }

  #unknown(
    place: Place,
    dotted: string,
    names: { readonly key: string; readonly within: string; readonly known: readonly string[] },
  ): void {
    const pattern = dotted.replace(/^(streams|views)\.[^.]+\./, "$1.*.");
    if (LATER_KEYS.includes(pattern))
      return this.fault(place, dotted, "this key is not in this release", "leave it out");
    const depth = names.within.split(".").length;
    const siblings = names.known.flatMap((name) => name.split(".")[depth - 1] ?? []);
    this.faultUnknown(place, dotted, names.key, siblings);
  }

  faultUnknown(place: Place, dotted: string, key: string, siblings: readonly string[]): void {
    const meant = similar(key, siblings);
    const instead =
      meant === null
        ? `keys here are ${[...new Set(siblings)].join(", ")}`
        : `did you mean ${meant}?`;
    this.fault(place, dotted, "there is no such key", instead);
  }

  /** The fields of one table with defaults filled in; faulty values are told and left at their default, or out. */
  fields(table: Table, prefix: string, owner: Place): Record<string, unknown> {
    const fields: Record<string, unknown> = {};
    for (const [name, key] of Object.entries(table)) {
      const dotted = prefix === "" ? name : `${prefix}.${name}`;
      const field = fieldName(name, key.type);
      const text = this.overrides.get(dotted)?.text ?? this.scalars.get(dotted)?.text ?? null;
      if (text === null && key.required === true && !this.#written.has(dotted))
        this.fault(owner, dotted, "this key is required", `add ${name}: (${key.description})`);
      fields[field] = this.#value(key, dotted, text);
    }
    return fields;
  }

  #value(key: Key, dotted: string, text: string | null): unknown {
    const parsed = text === null ? null : parseValue(key, text);
    if (parsed !== null && !parsed.ok)
      this.fault(this.placeOf(dotted), dotted, parsed.problem, parsed.instead);
    const good = parsed !== null && parsed.ok ? parsed : null;
    const fallback = key.default === null ? null : parseValue(key, key.default);
    const value = good?.value ?? (fallback !== null && fallback.ok ? fallback.value : null);
    if (key.type !== "path" || typeof value !== "string") return value;
    const inFile = good !== null && !this.overrides.has(dotted);
    return resolve(inFile ? dirname(this.#input.path) : this.#input.workingFolder, value);
  }
}

function entryOf(root: Node, name: string): { readonly node: Node; readonly place: Place } | null {
  const found = root.kind === "map" ? root.entries.find(({ key }) => key === name) : undefined;
  return found === undefined ? null : { node: found.node, place: found.keyPlace };
}

interface Named {
  readonly name: string;
  readonly place: Place;
}

/** The members of `streams:` or `views:`, with their keys collected. */
function namedMembers(loader: Loader, root: Node, group: "streams" | "views"): Named[] {
  const entry = entryOf(root, group);
  if (entry === null || entry.node.kind === "nothing") return [];
  if (entry.node.kind !== "map") {
    loader.fault(
      entry.node.place,
      group,
      "names are expected here",
      `write ${group}: {name: {...}}`,
    );
    return [];
  }
  const table = group === "streams" ? STREAMS : VIEWS;
  const named: Named[] = [];
  for (const { key, keyPlace, node } of entry.node.entries) {
    if (!NAME.test(key) || key === "millrace")
      loader.fault(
        keyPlace,
        `${group}.${key}`,
        `${JSON.stringify(key)} cannot be a name`,
        "use at most 63 lower-case letters, digits and _, not beginning with a digit; millrace is taken",
      );
    else named.push({ name: key, place: keyPlace });
    loader.collect(node, `${group}.${key}`, { table, within: "" });
  }
  return named;
}

/** Keys outside streams and views: `log: {size_max: 1GB}`. */
function collectSettings(loader: Loader, root: MapNode): void {
  const known = Object.keys(SETTINGS).map((key) => key.split(".")[0] ?? key);
  for (const { key, keyPlace, node } of root.entries) {
    if (key === "streams" || key === "views") continue;
    if (LATER_KEYS.includes(key))
      loader.fault(keyPlace, key, "this key is not in this release", "leave it out");
    else if (known.includes(key)) {
      if (key === "server" && entryOf(node, "key") !== null)
        loader.fault(keyPlace, "server.key", "a key does not belong in a file", "set MILLRACE_KEY");
      const kept =
        key === "server" && node.kind === "map"
          ? { ...node, entries: node.entries.filter((entry) => entry.key !== "key") }
          : node;
      loader.collect(kept, key, { table: SETTINGS, within: key });
    } else loader.faultUnknown(keyPlace, key, key, ["streams", "views", ...known]);
  }
}

function settingsOf(loader: Loader, start: Place): Config["settings"] {
  const groups: Record<string, Record<string, unknown>> = {};
  for (const key of Object.keys(SETTINGS)) groups[key.split(".")[0] ?? key] ??= {};
  for (const group of Object.keys(groups)) {
    const keys = Object.entries(SETTINGS).filter(([key]) => key.startsWith(`${group}.`));
    const table = Object.fromEntries(keys.map(([key, of]) => [key.slice(group.length + 1), of]));
    groups[group] = loader.fields(table, group, start);
  }
  // The table above is where both the type and these fields come from.
  return groups as unknown as Config["settings"];
}

/** What the log needs to go on: one file that is trimmed while the next is written, and what may be under way. */
function checkLogBounds(loader: Loader, { log }: Config["settings"]): void {
  const reserveBytes = IMAGES_BYTES + LOG_ROOM_BYTES;
  const leastBytes = 2 * log.fileSizeBytes + reserveBytes;
  if (log.sizeMaxBytes >= leastBytes) return;
  const mb = (bytes: number): string => `${Math.ceil(bytes / 1024 ** 2)}MB`;
  loader.fault(
    loader.placeOf("log.size_max"),
    "log.size_max",
    `the log must have room for two files of log.file_size and ${mb(reserveBytes)} on the way`,
    `make log.size_max at least 2 x ${mb(log.fileSizeBytes)} + ${mb(reserveBytes)} = ${mb(leastBytes)}`,
  );
}

/** What DuckDB needs to answer at all: see limits.ts. */
function checkQueryBounds(loader: Loader, { query }: Config["settings"]): void {
  const leastBytes = query.threads * QUERY_RUNNING_MAX * QUERY_THREAD_BYTES_MIN;
  if (query.memoryLimitBytes < leastBytes)
    loader.fault(
      loader.placeOf("query.memory_limit"),
      "query.memory_limit",
      `it is too little for ${QUERY_RUNNING_MAX} questions of ${query.threads} threads`,
      `write ${leastBytes / 1024 ** 2}MB or more`,
    );
}

/** `late.allowed` is for `update`, which needs it. */
function checkLate(loader: Loader, view: ViewConfig): void {
  const { latePolicy, lateAllowedUs: allowedUs } = view;
  const fault = (name: string, problem: string, instead: string): void => {
    const key = `views.${view.name}.late.${name}`;
    loader.fault(loader.placeOf(key), key, problem, instead);
  };
  if (latePolicy === "update" && !loader.isWritten(`views.${view.name}.late.allowed`))
    fault(
      "policy",
      "update needs late.allowed",
      "add allowed: 10m, or how long after its end a window may be corrected",
    );
  const only = "leave it out, or write late.policy: update";
  if (latePolicy !== "update" && allowedUs !== null)
    fault("allowed", `late.policy ${latePolicy} corrects no window`, only);
}

/** Faults that show only between keys. */
function checkRelations(loader: Loader, config: Config, places: ReadonlyMap<string, Place>): void {
  checkLogBounds(loader, config.settings);
  const streams = new Set(config.streams.map(({ name }) => name));
  for (const { name } of config.views) {
    const place = places.get(`views.${name}`) ?? loader.placeOf("views");
    if (streams.has(name))
      loader.fault(place, `views.${name}`, "a stream has this name", "give the view another name");
    else if (name.endsWith("_raw") && streams.has(name.slice(0, -4)))
      loader.fault(
        place,
        `views.${name}`,
        `this is the name of stream ${name.slice(0, -4)}'s raw table`,
        "give the view another name",
      );
  }
  for (const view of config.views) checkLate(loader, view);
  for (const stream of config.streams) checkWatermark(loader, stream);
  checkQueryBounds(loader, config.settings);
}

/** Reads a configuration. Never throws: every fault comes back, with its place and what to write instead. */
export function loadConfig(input: ConfigInput): LoadedConfig {
  const loader = new Loader(input);
  const { root, faults } = readYaml(input.text, input.shown);
  loader.faults.push(...faults);
  const start = { source: input.shown, line: 1, column: 1 };
  if (root.kind === "map") collectSettings(loader, root);
  else if (faults.length === 0)
    loader.fault(root.place, null, "the configuration is empty", "write streams: and views:");
  const streams = namedMembers(loader, root, "streams");
  const views = namedMembers(loader, root, "views");
  const overrides = readOverrides({
    flags: input.flags,
    env: input.env,
    streams: streams.map(({ name }) => name),
    views: views.map(({ name }) => name),
  });
  loader.overrides = overrides.values;
  loader.faults.push(...overrides.faults);
  if (root.kind === "map" && entryOf(root, "streams") === null)
    loader.fault(start, "streams", "there is no stream", "add streams: {name: {schema: ...}}");
  const places = new Map<string, Place>([
    ...streams.map(({ name, place }) => [`streams.${name}`, place] as const),
    ...views.map(({ name, place }) => [`views.${name}`, place] as const),
  ]);
  const members = (group: "streams" | "views", named: readonly Named[]): unknown[] =>
    named.map(({ name, place }) => ({
      name,
      ...loader.fields(group === "streams" ? STREAMS : VIEWS, `${group}.${name}`, place),
    }));
  const config: Config = {
    streams: (members("streams", streams) as StreamConfig[]).map((stream) =>
      withWatermark(loader, stream),
    ),
    views: members("views", views) as ViewConfig[],
    settings: settingsOf(loader, start),
  };
  checkRelations(loader, config, places);
  return {
    config,
    faults: loader.faults,
    placeOf: (key) => places.get(key) ?? loader.placeOf(key),
    placeWithin: (key, line, column) =>
      (loader.overrides.has(key) ? null : loader.scalars.get(key)?.within(line, column)) ??
      loader.placeOf(key),
  };
}
