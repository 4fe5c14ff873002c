// Small formats of the table room against others' implementations: Avro against avsc, JSON, string bounds.
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import avsc from "avsc";
import fc from "fast-check";
import {
  AvroError,
  readAvro,
  writeAvro,
  type AvroRecord,
  type AvroSchema,
} from "../../src/table/avro.ts";
import { icebergBound, textBounds } from "../../src/table/bounds.ts";
import { parseJson, printJson } from "../../src/table/lossless-json.ts";

const AVRO: AvroSchema = {
  type: "record",
  name: "r",
  fields: [
    { name: "count", type: "int" },
    { name: "id", type: ["null", "long"], default: null },
    { name: "path", type: "string" },
    { name: "isNew", type: "boolean" },
    { name: "bytes", type: ["null", "bytes"], default: null },
    { name: "offsets", type: ["null", { type: "array", items: "long" }] },
    {
      name: "inner",
      type: { type: "record", name: "i", fields: [{ name: "day", type: ["null", "int"] }] },
    },
    { name: "sizes", type: { type: "map", values: "long" } },
  ],
};
/** avsc reads numbers of up to 52 bits right. */
const long = fc.integer({ min: -(2 ** 51), max: 2 ** 51 });
const key = fc.string({ maxLength: 5 }).filter((text) => text !== "__proto__");
const avroRecords = fc.array(
  fc.record({
    count: fc.integer(),
    id: fc.option(long),
    path: fc.string({ unit: "grapheme" }),
    isNew: fc.boolean(),
    bytes: fc.option(fc.uint8Array()),
    offsets: fc.option(fc.array(long)),
    inner: fc.record({ day: fc.option(fc.integer()) }),
    sizes: fc.array(fc.tuple(key, long)).map((members): AvroRecord => Object.fromEntries(members)),
  }),
);

describe("avro", () => {
  const folder = mkdtempSync(join(tmpdir(), "millrace-avro-"));

  test("avsc reads what we write", async () => {
    await fc.assert(
      fc.asyncProperty(avroRecords, async (records) => {
        const path = join(folder, "ours.avro");
        writeFileSync(path, writeAvro(AVRO, { format: "2" }, records));
        const found: unknown[] = [];
        await new Promise((resolve, reject) => {
          avsc
            .createFileDecoder(path)
            .on("data", (value: unknown) => found.push(value))
            .on("end", resolve)
            .on("error", reject);
        });
        const plain = (value: unknown): unknown =>
          JSON.parse(
            JSON.stringify(value, (_name, member: unknown) =>
              member instanceof Uint8Array ? { type: "Buffer", data: [...member] } : member,
            ),
          );
        expect(plain(found)).toEqual(plain(records));
      }),
      { numRuns: 50 },
    );
    rmSync(folder, { recursive: true });
  }, 30_000);

  test("we read what we write, 64-bit numbers too", () => {
    fc.assert(
      fc.property(
        avroRecords,
        fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
        (records, id) => {
          const all = [
            ...records,
            {
              ...records[0],
              count: 1,
              path: "",
              isNew: true,
              inner: { day: 1 },
              sizes: {},
              id,
              offsets: null,
              bytes: null,
            },
          ];
          const found = readAvro(writeAvro(AVRO, { format: "2" }, all));
          expect(found.metadata.get("format")).toBe("2");
          const small = Number.isSafeInteger(Number(id)) ? Number(id) : id;
          expect(found.records).toEqual([...records, { ...all.at(-1), id: small }] as AvroRecord[]);
        },
      ),
    );
  });

  test("files that are cut short or of another kind are refused", () => {
    const bytes = writeAvro(AVRO, {}, fc.sample(avroRecords, 1)[0] ?? []);
    expect(() => readAvro(bytes.subarray(0, 40))).toThrow(AvroError);
    expect(() => readAvro(Buffer.from("PAR1PAR1"))).toThrow(AvroError);
  });
});

test("JSON keeps every digit of whole numbers", () => {
  const text =
    '{"a":9223372036854775807,"b":-9007199254740993,"c":[1,1.5,null,"9007199254740993"]}';
  expect(printJson(parseJson(text))).toBe(text);
  expect(parseJson(text)).toMatchObject({
    a: 2n ** 63n - 1n,
    c: [1, 1.5, null, "9007199254740993"],
  });
});

test("string bounds bound, are UTF-8, and have at most 16 code points", () => {
  const text = fc.oneof(
    fc.string({ unit: "binary", maxLength: 100 }),
    fc.constantFrom(
      "\u{10FFFF}".repeat(40),
      `${"a".repeat(15)}\u{10FFFF}${"b".repeat(70)}`,
      "\uD7FF".repeat(40),
    ),
  );
  fc.assert(
    fc.property(text, (value) => {
      const bytes = Buffer.from(value, "utf8");
      const { low, high } = textBounds(bytes, bytes);
      for (const [end, bound] of [
        ["low", low],
        ["high", high],
      ] as const) {
        if (bound === null) continue;
        expect(
          Buffer.compare(bytes, bound.value as Uint8Array) * (end === "low" ? 1 : -1),
        ).toBeGreaterThanOrEqual(0);
        expect(bound.exact).toBe(Buffer.compare(bytes, bound.value as Uint8Array) === 0);
        const iceberg = icebergBound({ kind: "VARCHAR" }, end, bound);
        if (iceberg === null) continue;
        expect(Buffer.compare(bytes, iceberg) * (end === "low" ? 1 : -1)).toBeGreaterThanOrEqual(0);
        const decoded = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(iceberg);
        expect(Array.from(decoded).length).toBeLessThanOrEqual(16);
      }
    }),
    { numRuns: 500 },
  );
});
