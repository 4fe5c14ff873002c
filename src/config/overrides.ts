// Verb: flags and environment variables -> values for single keys. Flags win over the environment, both over the file.
import { SETTING_KEYS, STREAM_KEYS, VIEW_KEYS } from "../config.ts";
import type { Key } from "../config.ts";
import type { Fault, Place } from "./fault.ts";
import { similar } from "../base/similar.ts";

/** A value given outside the file. */
export interface Override {
  readonly text: string;
  readonly place: Place;
}

/** Environment variables that are no keys; main reads them. */
export const OTHER_ENV: readonly string[] = ["MILLRACE_CONFIG", "MILLRACE_KEY"];

const SETTINGS: Readonly<Record<string, Key>> = SETTING_KEYS;

/** `log.size_max` -> `MILLRACE_LOG_SIZE_MAX`. */
export function envName(key: string): string {
  return `MILLRACE_${key.replaceAll(".", "_").toUpperCase()}`;
}

/** Every single-valued key of a configuration with these streams and views. */
export function singleKeys(streams: readonly string[], views: readonly string[]): string[] {
  return [
    ...Object.keys(SETTING_KEYS),
    ...streams.flatMap((name) => Object.keys(STREAM_KEYS).map((key) => `streams.${name}.${key}`)),
    ...views.flatMap((name) => Object.keys(VIEW_KEYS).map((key) => `views.${name}.${key}`)),
  ];
}

function shortToKey(name: string): string {
  const found = Object.entries(SETTINGS).find(([, key]) => key.short === name);
  return found === undefined ? name : found[0];
}

/** Kubernetes sets such variables for every service, whatever its name: they are not ours. */
function isFromKubernetes(name: string): boolean {
  return /_(SERVICE_HOST|SERVICE_PORT|PORT)(_\w+)?$/.test(name);
}

/**
 * What flags (`{"log.size_max": "1GB", listen: "..."}`, without dashes) and environment say, by dotted key. Unknown flags are faults;
 * so are unknown variables that begin like a key's.
 */
export function readOverrides(input: {
  readonly flags: ReadonlyMap<string, string>;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly streams: readonly string[];
  readonly views: readonly string[];
}): { readonly values: Map<string, Override>; readonly faults: Fault[] } {
  const keys = singleKeys(input.streams, input.views);
  const values = new Map<string, Override>();
  const faults: Fault[] = [];
  const unknown = (source: string, meant: string | null): void => {
    const instead = meant === null ? "see millrace --help" : `did you mean ${meant}?`;
    const place = { source, line: null, column: null };
    faults.push({ place, key: null, problem: "there is no such key", instead });
  };
  const variables = new Map(keys.map((key) => [envName(key), key]));
  for (const [key, { short }] of Object.entries(SETTINGS))
    if (short !== undefined) variables.set(envName(short), key);
  for (const [name, text] of Object.entries(input.env).toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    if (!name.startsWith("MILLRACE_") || text === undefined || OTHER_ENV.includes(name)) continue;
    const key = variables.get(name);
    if (key !== undefined)
      values.set(key, { text, place: { source: name, line: null, column: null } });
    else if (!isFromKubernetes(name) && isInGroup(name))
      unknown(name, similar(name, variables.keys()));
  }
  const flagNames = [...keys, ...Object.values(SETTINGS).flatMap(({ short }) => short ?? [])];
  for (const [name, text] of input.flags) {
    const key = shortToKey(name);
    const source = `--${name}`;
    if (keys.includes(key)) values.set(key, { text, place: { source, line: null, column: null } });
    else {
      const meant = similar(name, flagNames);
      unknown(source, meant === null ? null : `--${meant}`);
    }
  }
  return { values, faults };
}

function isInGroup(name: string): boolean {
  const groups = Object.keys(SETTING_KEYS).map((key) => key.split(".")[0] ?? key);
  return ["streams", "views", ...groups].some((group) => name.startsWith(`${envName(group)}_`));
}
