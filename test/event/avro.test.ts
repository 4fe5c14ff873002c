// Avro schemas become event schemas, or every fault is named with its place.
import { expect, test } from "bun:test";
import { parseAvroSchema, type AvroChoice, type AvroFault } from "../../src/event/avro.ts";
import { sqlTypeText, type EventSchema } from "../../src/event/schema.ts";
import { Bench } from "./harness.ts";

const TIME = { name: "t", type: { type: "long", logicalType: "timestamp-micros" } };
const CHOICE: AvroChoice = { eventTime: "t", eventId: null, id: 1 };

function parse(fields: unknown[], choice: Partial<AvroChoice> = {}) {
  return parseAvroSchema(JSON.stringify({ type: "record", name: "e", fields }), {
    ...CHOICE,
    ...choice,
  });
}

function schemaOf(fields: unknown[], eventId: string | null = null): EventSchema {
  const parsed = parse([TIME, ...fields], { eventId });
  if ("faults" in parsed) throw new Error(JSON.stringify(parsed.faults));
  return parsed.schema;
}

function faultsOf(
  fields: unknown[],
  choice: Parameters<typeof parse>[1] = {},
): readonly AvroFault[] {
  const parsed = parse(fields, choice);
  return "faults" in parsed ? parsed.faults : [];
}

test("every type of the table", () => {
  const { columns } = schemaOf([
    { name: "a", type: "boolean" },
    { name: "b", type: "int" },
    { name: "c", type: ["null", "long"] },
    { name: "d", type: "float" },
    { name: "e", type: ["double", "null"] },
    { name: "f", type: { type: "string", logicalType: "uuid" } },
    { name: "g", type: { type: "enum", name: "Kind", symbols: ["x", "y"] } },
    { name: "h", type: ["null", "Kind"] },
    { name: "i", type: { type: "int", logicalType: "date" } },
    { name: "j", type: { type: "long", logicalType: "timestamp-millis" } },
    { name: "k", type: { type: "bytes", logicalType: "decimal", precision: 18, scale: 2 } },
    {
      name: "l",
      type: { type: "fixed", size: 16, name: "F", logicalType: "decimal", precision: 19 },
    },
    { name: "m", type: { type: "string", logicalType: "unheard-of" } },
  ]);
  expect(
    columns.map(({ name, type, nullable }) => `${name} ${sqlTypeText(type)}${nullable ? "?" : ""}`),
  ).toEqual([
    "t TIMESTAMP WITH TIME ZONE",
    "a BOOLEAN",
    "b INTEGER",
    "c BIGINT?",
    "d FLOAT",
    "e DOUBLE?",
    "f VARCHAR",
    "g VARCHAR",
    "h VARCHAR?",
    "i DATE",
    "j TIMESTAMP WITH TIME ZONE",
    "k DECIMAL(18,2)",
    "l DECIMAL(38,0)",
    "m VARCHAR",
  ]);
  expect(columns.map(({ decoding }) => decoding.kind).join(" ")).toBe(
    "epoch_us plain plain plain plain plain plain enum enum plain epoch_ms plain plain plain",
  );
  expect(columns.map(({ fieldId }) => fieldId)).toEqual(columns.map((_, ordinal) => ordinal + 1));
});

test("a default lies in the years 1 to 9999, to the last unit", () => {
  const edges = [
    ["long", "timestamp-millis", -62_135_596_800_000, 253_402_300_799_999],
    ["int", "date", -719_162, 2_932_896],
  ] as const;
  for (const [type, logicalType, first, last] of edges) {
    const faults = (value: number): readonly AvroFault[] =>
      faultsOf([TIME, { name: "n", type: { type, logicalType }, default: value }]);
    expect(faults(first)).toEqual([]);
    expect(faults(last)).toEqual([]);
    expect(faults(first - 1)).toHaveLength(1);
    expect(faults(last + 1)).toHaveLength(1);
  }
});

test("defaults are taken by absent members, a default of null is none", () => {
  const schema = schemaOf([
    { name: "n", type: ["null", "int"], default: null },
    { name: "s", type: "string", default: 'x"y' },
    {
      name: "d",
      type: { type: "bytes", logicalType: "decimal", precision: 6, scale: 2 },
      default: "\u00ff\u009c",
    },
    { name: "j", type: { type: "long", logicalType: "timestamp-millis" }, default: 5 },
    { name: "k", type: { type: "enum", name: "Kind", symbols: ["x", "y"] }, default: "y" },
  ]);
  const bench = new Bench(schema, { rowsMax: 8, imageBytesMax: 2 * 1024 * 1024 });
  const { rows, rejects } = bench.decode(Buffer.from('{"t":1}'), "json");
  expect(rejects).toEqual([]);
  expect(rows).toEqual([[1n, null, 'x"y', -100n, 5000n, "y", null]]);
});

test("what is not in this release is refused with advice, all at once", () => {
  const faults = faultsOf([
    TIME,
    { name: "a", type: { type: "map", values: "string" } },
    { name: "b", type: { type: "array", items: "int" } },
    { name: "c", type: { type: "record", name: "R", fields: [] } },
    { name: "d", type: "bytes" },
    { name: "e", type: ["null", "int", "string"] },
    { name: "f", type: { type: "int", logicalType: "time-millis" } },
    { name: "g", type: { type: "bytes", logicalType: "decimal", precision: 40 } },
    {
      name: "h",
      type: { type: "fixed", size: 2, name: "F", logicalType: "decimal", precision: 5 },
    },
    { name: "attrs", type: "string" },
    { name: "T", type: "int" },
  ]);
  expect(faults.map(({ path }) => path)).toEqual([
    ...[1, 2, 3, 4, 5, 6, 7, 8].map((ordinal) => `$.fields[${ordinal}].type`),
    "$.fields[9]",
    "$.fields[10].name",
  ]);
  expect(faults.filter(({ message }) => message.includes("not in this release"))).toHaveLength(6);
});

test("event time and event id must be what they have to be", () => {
  const plain = { name: "x", type: "double" };
  expect(faultsOf([plain])[0]?.message).toContain('event_time "t" is not a field');
  expect(faultsOf([{ name: "t", type: "long" }])[0]?.path).toBe("$.fields[0].type");
  expect(faultsOf([{ ...TIME, type: ["null", TIME.type] }])).toHaveLength(1);
  expect(faultsOf([TIME, plain], { eventId: "x" })[0]?.message).toContain(
    "must be a string, an int or a long",
  );
  expect(faultsOf([TIME], { eventId: "y" })).toHaveLength(1);
  expect(schemaOf([{ name: "id", type: ["null", "string"] }], "id")).toMatchObject({
    eventTime: 0,
    eventId: 1,
  });
});

test("a text that is no Avro record has one fault", () => {
  for (const text of [
    "",
    "{",
    "[]",
    '"string"',
    '{"type":"record"}',
    '{"type":"record","name":"e","fields":[{"name":"x","type":"foo"}]}',
  ]) {
    const parsed = parseAvroSchema(text, CHOICE);
    expect("faults" in parsed ? parsed.faults.map(({ path }) => path) : []).toEqual(["$"]);
  }
  expect(
    faultsOf([TIME, { name: "n", type: { type: "int", logicalType: "date" }, default: 9999999 }])[0]
      ?.path,
  ).toBe("$.fields[1].default");
});
