// Verb: one folder of a user's fixture test -> what differs. events.ndjson goes through the path on one thread; each file
// <view>.csv or <view>.json beside it holds the rows that the view must have then; late_events and dead_letters likewise.
// Settings in test.yaml. Reads files through `FixtureFiles`.
import type { EngineStream, KernelModules } from "../engine-options.ts";
import { faultText } from "../config/fault.ts";
import { parseValue } from "../config/values.ts";
import { readYaml } from "../config/yaml.ts";
import { isoTime, timeUs } from "../base/iso-time.ts";
import type { ViewPlan } from "../view/plan.ts";
import { differencesFrom } from "./compare.ts";
import {
  EventLineError,
  readEventLines,
  RECEIVED_AT_US_MAX,
  withoutMark,
  type EventLine,
} from "./event-lines.ts";
import { ExpectedRowsError, readCsv, readJsonRows } from "./expected.ts";
import { NoRoomError } from "./last-rows.ts";
import { Rehearsal } from "./rehearsal.ts";
import type { Relation } from "./relation.ts";

export const EVENTS_FILE = "events.ndjson";
const SETTINGS_FILE = "test.yaml";

/** A folder's files by name. */
export interface FixtureFiles {
  names(): readonly string[];
  text(name: string): string;
}

/** The configuration that a fixture is run with. */
export interface RehearsalConfig {
  readonly modules: KernelModules;
  readonly streams: readonly EngineStream[];
  readonly plans: readonly ViewPlan[];
}

export type FixtureResult =
  /** `relations`: how many were compared. Each difference is one line; none: the test passed. */
  | {
      readonly kind: "ran";
      readonly relations: number;
      readonly differences: readonly { readonly file: string; readonly lines: readonly string[] }[];
      /** Dead letters that no file expects, in a line; null: none. */
      readonly refused: string | null;
    }
  /** The fixture itself is at fault. */
  | { readonly kind: "bad"; readonly why: string };

interface Settings {
  readonly stream: EngineStream;
  readonly receivedAtUs: number | null;
  /** How far the clock goes on behind the last event; null: it does not. */
  readonly untilUs: number | null;
}

const SETTINGS = ["stream", "out_of_orderness", "received_at", "until"];

/** Runs a fixture. */
export function runFixture(files: FixtureFiles, config: RehearsalConfig): FixtureResult {
  const names = files.names();
  const settings = readSettings(
    names.includes(SETTINGS_FILE) ? files.text(SETTINGS_FILE) : "",
    config,
  );
  if (typeof settings === "string") return { kind: "bad", why: settings };
  const expected = names.filter((name) => /\.(csv|json)$/.test(name));
  if (expected.length === 0)
    return {
      kind: "bad",
      why: "there are no expected rows: write them to <view>.csv or <view>.json",
    };
  try {
    const rehearsal = rehearse(readEventLines(files.text(EVENTS_FILE)), settings, config);
    const differences = expected.flatMap((file) => {
      const relation = relationOf(rehearsal, file);
      if (typeof relation === "string") return [{ file, lines: [relation] }];
      const text = withoutMark(files.text(file));
      const rows = file.endsWith(".csv") ? readCsv(text) : readJsonRows(text);
      const lines = differencesFrom(relation, rows);
      return lines.length === 0 ? [] : [{ file, lines }];
    });
    const refused = expected.some((file) => file.startsWith("dead_letters."))
      ? null
      : refusedText(rehearsal);
    return { kind: "ran", relations: expected.length, differences, refused };
  } catch (error) {
    const isBad =
      error instanceof EventLineError ||
      error instanceof ExpectedRowsError ||
      error instanceof NoRoomError;
    if (isBad) return { kind: "bad", why: error.message };
    throw error;
  }
}

/** Events that were refused, by their reasons, in a line; null: none was. */
export function refusedText(rehearsal: Rehearsal): string | null {
  const reasons = Map.groupBy(rehearsal.deadLetters().rows, ([reason]) => String(reason));
  if (reasons.size === 0) return null;
  return `dead letters: ${[...reasons].map(([reason, { length }]) => `${length} ${reason}`).join(", ")}`;
}

/** Events through the path. Without times of receipt all are received at the newest event's time: none is from the future. */
export function rehearse(
  lines: readonly EventLine[],
  settings: Settings,
  config: RehearsalConfig,
): Rehearsal {
  const { stream } = settings;
  const receivedAtUs = settings.receivedAtUs ?? newestEventTimeUs(lines, stream, config);
  const plans = config.plans.filter((plan) => plan.stream === stream.name);
  const rehearsal = new Rehearsal(config.modules, { streams: [stream], plans });
  rehearsal.send(stream.name, lines, receivedAtUs);
  if (settings.untilUs !== null) rehearsal.until(settings.untilUs);
  return rehearsal;
}

/** As admission sees it: a trial run without views, where nothing is from the future. In whole ms, rounded up. */
function newestEventTimeUs(
  lines: readonly EventLine[],
  stream: EngineStream,
  { modules }: RehearsalConfig,
): number {
  if (lines.every(({ receivedAtUs }) => receivedAtUs !== null)) return 0;
  if (stream.schema.eventTime === null)
    throw new EventLineError(
      `events of ${stream.name} have no time but that of their receipt: write {"received_at": "2019-10-01T00:30:00Z", "event": {...}} lines`,
    );
  const timeless = { ...stream, maxFutureUs: null, maxPastUs: null };
  const trial = new Rehearsal(modules, { streams: [timeless], plans: [] });
  trial.send(stream.name, lines, Number.MAX_SAFE_INTEGER);
  const newestUs = trial.newestEventTimeUs(stream.name) ?? 0n;
  // The newest as far as it is not ahead of its receipt.
  if (newestUs >= RECEIVED_AT_US_MAX)
    throw new EventLineError(
      `an event is beyond ${isoTime(RECEIVED_AT_US_MAX)}, where times of receipt end: say when it was received, received_at in ${SETTINGS_FILE} or {"received_at": "...", "event": {...}} lines`,
    );
  return Math.max(0, Math.ceil(Number(newestUs) / 1000) * 1000);
}

/** test.yaml: SETTINGS. A string is what is wrong. */
function readSettings(text: string, { streams }: RehearsalConfig): Settings | string {
  const { root, faults } = readYaml(text, SETTINGS_FILE);
  const [fault] = faults;
  if (fault !== undefined) return faultText(fault);
  if (root.kind !== "map" && root.kind !== "nothing")
    return `${SETTINGS_FILE}: write key: value lines; settings are ${SETTINGS.join(", ")}`;
  const given = new Map<string, string>();
  for (const { key, node } of root.kind === "map" ? root.entries : []) {
    if (node.kind !== "scalar" || !SETTINGS.includes(key))
      return `${SETTINGS_FILE}: ${key} is not understood; settings are ${SETTINGS.join(", ")}`;
    given.set(key, node.text);
  }
  const named = given.get("stream");
  const [only] = streams.length === 1 ? streams : [];
  const stream = named === undefined ? only : streams.find(({ name }) => name === named);
  if (stream === undefined)
    return `${SETTINGS_FILE}: name one of the streams: stream: ${streams.map(({ name }) => name).join(" or ")}`;
  const [receivedAtUs, untilUs] = ["received_at", "until"].map((key) => timeOf(given.get(key)));
  for (const [key, us] of Object.entries({ received_at: receivedAtUs, until: untilUs }))
    if (us === undefined)
      return `${SETTINGS_FILE}: ${key} ${JSON.stringify(given.get(key))} is not a time up to ${isoTime(RECEIVED_AT_US_MAX)}`;
  const times = { receivedAtUs: receivedAtUs ?? null, untilUs: untilUs ?? null };
  const distance = given.get("out_of_orderness");
  if (distance === undefined) return { stream, ...times };
  const parsed = parseValue(
    { type: "duration", default: null, zero: true, description: "" },
    distance,
  );
  if (!parsed.ok) return `${SETTINGS_FILE}: out_of_orderness: ${parsed.problem}; ${parsed.instead}`;
  return { stream: { ...stream, outOfOrdernessUs: Number(parsed.value) }, ...times };
}

/** In whole ms; null: it is not given, undefined: it is no time of receipt. */
function timeOf(text: string | undefined): number | null | undefined {
  const us = text === undefined ? null : timeUs(text);
  if (us !== null) return us > RECEIVED_AT_US_MAX ? undefined : Number(us / 1000n) * 1000;
  return text === undefined ? null : undefined;
}

/** What a file of expected rows is compared with. A string is what is wrong. */
function relationOf(rehearsal: Rehearsal, file: string): Relation | string {
  const name = file.replace(/\.\w+$/, "");
  if (name === "late_events") return rehearsal.lateEvents();
  if (name === "dead_letters") return rehearsal.deadLetters();
  const { views } = rehearsal;
  if (views.includes(name)) return rehearsal.rows(name);
  return `there is no view ${JSON.stringify(name)} of this stream; files are named after ${[...views, "late_events", "dead_letters"].join(", ")}`;
}

/** What a developer reads: one line for a fixture, its differences below it. */
export function fixtureText(name: string, result: FixtureResult): string {
  if (result.kind === "bad") return `BAD   ${name}: ${result.why}`;
  const { relations, differences, refused } = result;
  if (differences.length === 0)
    return `ok    ${name} (${relations} compared${refused === null ? "" : `; ${refused}`})`;
  const unexpected = refused === null ? [] : [{ file: EVENTS_FILE, lines: [refused] }];
  const lines = [...differences, ...unexpected].flatMap(({ file, lines: found }) => [
    `  ${file}`,
    ...found.map((line) => `    ${line}`),
  ]);
  return [`FAIL  ${name}`, ...lines].join("\n");
}
