// Verb: text -> value, per type of key. The same for the file, flags and environment. Bad text is a value, never an exception.
import { unreachable } from "../base/assert.ts";
import type { Address, Key } from "../config.ts";
import type { RollupLevel } from "../view/rollup.ts";

/** A value, or what is wrong with the text and what to write instead. */
export type Parsed =
  | {
      readonly ok: true;
      readonly value: string | number | boolean | Address | readonly RollupLevel[];
    }
  | { readonly ok: false; readonly problem: string; readonly instead: string };

const DURATION_US: Readonly<Record<string, number>> = {
  us: 1,
  ms: 1_000,
  s: 1_000_000,
  m: 60_000_000,
  h: 3_600_000_000,
  d: 86_400_000_000,
};
const SIZE_BYTES: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1024,
  MB: 1024 ** 2,
  GB: 1024 ** 3,
  TB: 1024 ** 4,
};

function quoted(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}...` : text);
}

function bad(problem: string, instead: string): Parsed {
  return { ok: false, problem, instead };
}

/** `10s` -> µs; sizes likewise, in bytes, where KB is 1,024 as in DuckDB's KiB. */
function parseUnits(text: string, kind: "duration" | "size"): Parsed {
  const units = kind === "duration" ? DURATION_US : SIZE_BYTES;
  const examples = kind === "duration" ? "500ms, 10s, 5m or 24h" : "64MB or 8GB";
  const match = /^(\d+)\s*([a-zA-Z]*)$/.exec(text.trim());
  if (match === null)
    return bad(`${quoted(text)} is not a ${kind}`, `write for example ${examples}`);
  const [, digits = "", unit = ""] = match;
  if (unit === "") {
    const fits = Object.keys(units).filter(
      (name) => name !== "us" && name !== "B" && name !== "KB",
    );
    const shown = fits.slice(0, 4).map((name) => digits + name);
    return bad(`${quoted(text)} has no unit`, `write ${shown.join(", ")}`);
  }
  const factor = units[kind === "size" ? unit.toUpperCase() : unit];
  if (factor === undefined)
    return bad(`${quoted(unit)} is not a unit`, `units are ${Object.keys(units).join(", ")}`);
  const value = Number(digits) * factor;
  if (!Number.isSafeInteger(value))
    return bad(`${quoted(text)} is too large`, `write for example ${examples}`);
  return { ok: true, value };
}

function parseCount(text: string): Parsed {
  const digits = text.trim().replaceAll("_", "");
  if (!/^\d+$/.test(digits) || !Number.isSafeInteger(Number(digits)))
    return bad(`${quoted(text)} is not a whole number`, "write digits only, for example 1000000");
  return { ok: true, value: Number(digits) };
}

function parseSwitch(text: string): Parsed {
  if (text === "on" || text === "true") return { ok: true, value: true };
  if (text === "off" || text === "false") return { ok: true, value: false };
  return bad(`${quoted(text)} is neither on nor off`, "write on or off");
}

/** `127.0.0.1:8080`, `[::1]:8080`, `localhost:0`, `0.0.0.0:80`. */
function parseAddress(text: string): Parsed {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text.trim());
  const port = Number(match?.[3]);
  if (match === null || port > 65_535)
    return bad(
      `${quoted(text)} is not HOST:PORT`,
      /^\d+$/.test(text) ? `write 127.0.0.1:${text}` : "write for example 127.0.0.1:8080",
    );
  return { ok: true, value: { host: match[1] ?? match[2] ?? "", port } };
}

const UNIT_OF: Readonly<Record<string, string>> = {
  second: "s",
  seconds: "s",
  minute: "m",
  minutes: "m",
  hour: "h",
  hours: "h",
  day: "d",
  days: "d",
};

/** `1 hour, 1 day Europe/Berlin`: how the file's list is written as a flag. */
function parseRollups(text: string): Parsed {
  const levels: RollupLevel[] = [];
  for (const item of text.split(",").map((part) => part.trim())) {
    const [, digits = "", unit = "", zone] = /^(\d+)\s*([a-z]+)(?:\s+(\S+))?$/.exec(item) ?? [];
    const every = parseUnits(`${digits}${UNIT_OF[unit] ?? unit}`, "duration");
    const everyUs = every.ok ? Number(every.value) : 0;
    if (everyUs === 0) return bad(`${quoted(item)} is no rollup`, "write [1 hour, 1 day]");
    if (zone !== undefined && everyUs !== DURATION_US["d"])
      return bad(`${quoted(item)} is no calendar day`, "a time zone belongs to 1 day");
    levels.push({ everyUs, timeZone: zone ?? null });
  }
  return { ok: true, value: levels };
}

/** The value of `text` for a key. Paths and texts are taken as they are, empty ones refused. */
export function parseValue(key: Key, text: string): Parsed {
  const parsed = parseByType(key, text);
  if (parsed.ok && parsed.value === 0 && key.zero !== true)
    return bad(`${quoted(text)} is zero`, "write more than 0");
  return parsed.ok ? withinBounds(key, text, parsed) : parsed;
}

function withinBounds(key: Key, text: string, parsed: Parsed & { readonly ok: true }): Parsed {
  const bound = (given: string | undefined, missing: number): number => {
    const value = given === undefined ? null : parseByType(key, given);
    return value?.ok === true ? Number(value.value) : missing;
  };
  if (Number(parsed.value) < bound(key.least, -Infinity))
    return bad(`${quoted(text)} is too little`, `write ${key.least} or more`);
  if (Number(parsed.value) > bound(key.most, Infinity))
    return bad(`${quoted(text)} is too much`, `write ${key.most} at most`);
  return parsed;
}

function parseByType(key: Key, text: string): Parsed {
  switch (key.type) {
    case "text":
    case "path":
      if (text.trim() === "") return bad("it is empty", "write a value or leave the key out");
      return { ok: true, value: text };
    case "duration":
    case "size":
      return parseUnits(text, key.type);
    case "count":
      return parseCount(text);
    case "switch":
      return parseSwitch(text);
    case "address":
      return parseAddress(text);
    case "rollups":
      return parseRollups(text);
    case "policy":
      if (["side", "update", "drop"].includes(text)) return { ok: true, value: text };
      return bad(`${quoted(text)} is not a late policy`, "write side, update or drop");
    default:
      return unreachable(key.type);
  }
}
