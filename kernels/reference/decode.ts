// The plain twin of the decode kernel: a body of JSON or NDJSON to rows and rejects, one obvious step after the other, with JSON.parse,
// Number and BigInt where they say the same. Slow, bounded by nothing but its input: for tests and benchmarks.
import { Broken, Reader, type Node } from "./json.ts";

/** A declared member, as src/event/schema.ts has it. */
export interface ReferenceColumn {
  readonly name: string;
  readonly type: { readonly kind: string; readonly precision?: number; readonly scale?: number };
  readonly nullable: boolean;
  readonly decoding: { readonly kind: string; readonly symbols?: readonly string[] };
  readonly defaultJson?: string;
}

export type ReferenceValue = bigint | number | string | boolean | null;

export interface ReferenceReject {
  readonly index: number;
  readonly reason: string;
  readonly field: string | null;
  readonly raw: string;
}

export interface ReferenceResult {
  /** One value per declared member, then `attrs`. */
  readonly rows: ReferenceValue[][];
  /** Index of each row's event within the body. */
  readonly indexes: number[];
  readonly rejects: ReferenceReject[];
}

/** Bytes of an event, and rejects of a body. */
export interface ReferenceBounds {
  readonly eventBytesMax: number;
  readonly bodyRejectsMax: number;
}

/** An event is refused. */
class Refused extends Error {
  readonly reason: string;
  readonly field: string | null;
  constructor(reason: string, field: string | null = null) {
    super(reason);
    this.reason = reason;
    this.field = field;
  }
}

const UNDECLARED_MAX = 256;

/** µs of an ISO-8601 time, or null when there is no such time. */
function isoMicros(text: string): bigint | null {
  const match =
    /^(\d{4}-\d\d-\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?([Zz]|[+-]\d\d(?::?\d\d)?)?$/.exec(
      text,
    );
  if (match === null) return null;
  const [, date = "", hour = "", minute = "", second = "0", fraction = "", zone = "Z"] = match;
  const days = isoDays(date);
  if (days === null || Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return null;
  const seconds =
    BigInt(days) * 86_400n + BigInt(hour) * 3600n + BigInt(minute) * 60n + BigInt(second);
  let micros = seconds * 1_000_000n + BigInt(fraction.slice(0, 6).padEnd(6, "0"));
  if (zone !== "Z" && zone !== "z") {
    const digits = zone.slice(1).replace(":", "").padEnd(4, "0");
    const offset = BigInt(digits.slice(0, 2)) * 3600n + BigInt(digits.slice(2)) * 60n;
    if (Number(digits.slice(0, 2)) > 23 || Number(digits.slice(2)) > 59) return null;
    micros += (zone.startsWith("-") ? offset : -offset) * 1_000_000n;
  }
  return micros;
}

/** Days since the epoch of YYYY-MM-DD, or null when there is no such day. */
function isoDays(text: string): number | null {
  if (!/^\d{4}-\d\d-\d\d$/.test(text) || text.startsWith("0000")) return null;
  const ms = Date.parse(`${text}T00:00:00Z`);
  if (Number.isNaN(ms) || new Date(ms).toISOString().slice(0, 10) !== text) return null;
  return ms / 86_400_000;
}

const FIRST_MICROS = isoMicros("0001-01-01T00:00:00Z") ?? 0n;
const LAST_MICROS = isoMicros("9999-12-31T23:59:59.999999Z") ?? 0n;

/** The unscaled integer of a decimal number's text. */
function decimalOf(text: string, column: ReferenceColumn): bigint {
  const match = /^(-?)(0|[1-9]\d*)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text);
  if (match === null) throw new Refused("wrong_type", column.name);
  const [, sign = "", whole = "", fraction = "", exponent = "0"] = match;
  const digits = (whole + fraction).replace(/^0+/, "");
  if (digits === "") return 0n;
  const { precision = 0, scale = 0 } = column.type;
  const kept = digits.replace(/0+$/, "");
  // kept x 10^shift is the unscaled value.
  const shift = Number(exponent) - fraction.length + scale + (digits.length - kept.length);
  if (shift < 0 || kept.length + shift > precision) throw new Refused("out_of_range", column.name);
  const value = BigInt(kept) * 10n ** BigInt(shift);
  return sign === "-" ? -value : value;
}

function integerOf(node: Node, column: ReferenceColumn, from: bigint, to: bigint): bigint {
  if (node.kind !== "number" || !/^-?\d+$/.test(node.text))
    throw new Refused("wrong_type", column.name);
  const value = BigInt(node.text);
  if (value < from || value > to) throw new Refused("out_of_range", column.name);
  return value;
}

function floatOf(node: Node, column: ReferenceColumn): number {
  if (node.kind !== "number") throw new Refused("wrong_type", column.name);
  const value = Number(node.text);
  const stored = column.type.kind === "FLOAT" ? Math.fround(value) : value;
  if (!Number.isFinite(stored)) throw new Refused("out_of_range", column.name);
  return stored;
}

function timeOf(node: Node, column: ReferenceColumn): ReferenceValue {
  const { name } = column;
  if (column.type.kind === "DATE") {
    const [from, to] = [isoDays("0001-01-01") ?? 0, isoDays("9999-12-31") ?? 0];
    if (node.kind !== "string") return Number(integerOf(node, column, BigInt(from), BigInt(to)));
    const days = isoDays(node.string);
    if (days === null) throw new Refused("bad_time", name);
    return days;
  }
  if (node.kind !== "string") {
    const unit = column.decoding.kind === "epoch_ms" ? 1000n : 1n;
    // A number that does not fit 64 bits is out of range too: `integerOf` covers both.
    const first = FIRST_MICROS / unit;
    const last = (LAST_MICROS + 1n) / unit - 1n;
    return integerOf(node, column, first, last) * unit;
  }
  const micros = isoMicros(node.string);
  if (micros === null) throw new Refused("bad_time", name);
  if (micros < FIRST_MICROS || micros > LAST_MICROS) throw new Refused("out_of_range", name);
  return micros;
}

function valueOf(node: Node, column: ReferenceColumn): ReferenceValue {
  const wrong = new Refused("wrong_type", column.name);
  if (node.text === "null") {
    if (!column.nullable) throw wrong;
    return null;
  }
  switch (column.type.kind) {
    case "BOOLEAN":
      if (node.kind !== "literal") throw wrong;
      return node.text === "true";
    case "INTEGER":
      return Number(integerOf(node, column, -(2n ** 31n), 2n ** 31n - 1n));
    case "BIGINT":
      return integerOf(node, column, -(2n ** 63n), 2n ** 63n - 1n);
    case "FLOAT":
    case "DOUBLE":
      return floatOf(node, column);
    case "DECIMAL":
      if (node.kind !== "number" && node.kind !== "string") throw wrong;
      return decimalOf(node.kind === "string" ? node.string : node.text, column);
    case "DATE":
    case "TIMESTAMPTZ":
      return timeOf(node, column);
    default: {
      if (node.kind !== "string") throw wrong;
      const { symbols } = column.decoding;
      if (symbols && !symbols.includes(node.string))
        throw new Refused("unknown_symbol", column.name);
      return node.string;
    }
  }
}

/** The row of one event: its declared members' values, then `attrs`. Throws Refused. */
function rowOf(event: Node, columns: readonly ReferenceColumn[]): ReferenceValue[] {
  if (event.kind !== "object") throw new Refused("not_an_object");
  const values = new Map<string, ReferenceValue>();
  const undeclared = new Map<string, string>();
  for (const { name, value, verbatim } of event.members) {
    if (values.has(name) || undeclared.has(name)) throw new Refused("duplicate_member", name);
    const column = columns.find((candidate) => candidate.name === name);
    if (column) values.set(name, valueOf(value, column));
    else if (undeclared.size === UNDECLARED_MAX) throw new Refused("too_large");
    else undeclared.set(name, verbatim);
  }
  const row = columns.map((column) => {
    const value = values.get(column.name);
    if (value !== undefined) return value;
    const json = column.defaultJson ?? "null";
    if (json !== "null") return valueOf(new Reader(Buffer.from(json), "").value(0), column);
    if (!column.nullable) throw new Refused("missing_member", column.name);
    return null;
  });
  return [...row, undeclared.size === 0 ? null : `{${[...undeclared.values()].join(",")}}`];
}

/** Gathers what becomes of the events of one body. */
class Collector {
  readonly result: ReferenceResult = { rows: [], indexes: [], rejects: [] };
  readonly columns: readonly ReferenceColumn[];
  readonly eventBytesMax: number;
  readonly bodyRejectsMax: number;
  #index = 0;

  constructor(columns: readonly ReferenceColumn[], bounds: ReferenceBounds) {
    this.columns = columns;
    this.eventBytesMax = bounds.eventBytesMax;
    this.bodyRejectsMax = bounds.bodyRejectsMax;
  }
  /** Whether all that follows is to be one more reject. */
  get isFull(): boolean {
    return this.result.rejects.length >= this.bodyRejectsMax;
  }
  refuse(reason: string, raw: Uint8Array, field: string | null = null): void {
    const text = Buffer.from(raw).toString("latin1");
    this.result.rejects.push({ index: this.#index++, reason, field, raw: text });
  }
  take(event: Node, soft: string | null, raw: Uint8Array): void {
    try {
      if (raw.length > this.eventBytesMax) throw new Refused("too_large");
      if (soft !== null) throw new Refused(soft);
      this.result.rows.push(rowOf(event, this.columns));
      this.result.indexes.push(this.#index++);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.refuse(error.reason, raw, error.field);
    }
  }
  line(line: Uint8Array): void {
    let [from, to] = [0, line.length];
    const blank = (at: number): boolean => [32, 9, 13].includes(line[at] ?? 0);
    while (from < to && blank(from)) from++;
    while (to > from && blank(to - 1)) to--;
    const raw = line.slice(from, to);
    if (raw.length === 0) return;
    if (raw.length > this.eventBytesMax) {
      this.refuse("too_large", raw);
      return;
    }
    const reader = new Reader(raw, " \t\r");
    try {
      const event = reader.value(0);
      if (reader.at < raw.length) throw new Broken();
      this.take(event, reader.soft, raw);
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      this.refuse("bad_json", raw);
    }
  }
  /** Refuses the rest of the lines, unless they are blank. */
  unread(rest: Uint8Array): void {
    const from = rest.findIndex((byte) => ![32, 9, 10, 13].includes(byte));
    if (from !== -1) this.refuse("too_many_rejects", rest.slice(from));
  }
  /** Takes the event at the reader's place. */
  element(reader: Reader): void {
    reader.space();
    const from = reader.at;
    reader.soft = null;
    const event = reader.value(0);
    this.take(event, reader.soft, reader.bytes.slice(from, reader.at));
  }
}

/** True when the text at the reader is `{"events":[`; then the reader stands at the bracket. */
function entersEnvelope(reader: Reader, columns: readonly ReferenceColumn[]): boolean {
  if (columns.some((column) => column.name === "events")) return false;
  const text = Buffer.from(reader.bytes.slice(reader.at)).toString("latin1");
  const match = /^\{[ \t\r\n]*"events"[ \t\r\n]*:[ \t\r\n]*(?=\[)/.exec(text);
  if (match === null) return false;
  reader.at += match[0].length;
  return true;
}

function decodeJson(body: Uint8Array, collector: Collector): void {
  const reader = new Reader(body, " \t\r\n");
  let from = 0;
  try {
    reader.space();
    if (reader.at === body.length) return;
    const enveloped = entersEnvelope(reader, collector.columns);
    if (reader.char() !== "[") {
      from = reader.at;
      collector.element(reader);
    } else {
      reader.at++;
      reader.space();
      let first = true;
      while (reader.char() !== "]" || !first) {
        from = reader.at;
        if (collector.isFull) return collector.refuse("too_many_rejects", body.slice(from));
        collector.element(reader);
        first = false;
        reader.space();
        from = reader.at;
        if (reader.char() === "]") break;
        reader.expect(",");
        reader.space();
      }
      reader.at++;
      reader.space();
      from = reader.at;
      if (enveloped) reader.expect("}");
    }
    reader.space();
    from = reader.at;
    if (reader.at < body.length) throw new Broken();
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    collector.refuse("bad_json", body.slice(from));
  }
}

/** All events of a body. */
export function decodeReference(
  body: Uint8Array,
  format: "json" | "ndjson",
  columns: readonly ReferenceColumn[],
  bounds: ReferenceBounds,
): ReferenceResult {
  const collector = new Collector(columns, bounds);
  if (format === "json") decodeJson(body, collector);
  else {
    for (let from = 0; from < body.length;) {
      if (collector.isFull) {
        collector.unread(body.slice(from));
        break;
      }
      const newline = body.indexOf(10, from);
      const end = newline === -1 ? body.length : newline;
      collector.line(body.slice(from, end));
      from = end + 1;
    }
  }
  return collector.result;
}
