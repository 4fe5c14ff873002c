// A schema of 200 members: more than one word of validity bits, more names than one cache line, names longer than a template holds.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { decodeReference } from "../../kernels/reference/decode.ts";
import type { EventSchema } from "../../src/event/schema.ts";
import { BODY_REJECTS_MAX } from "../../src/limits.ts";
import { Bench, column } from "./harness.ts";

const SCHEMA: EventSchema = {
  id: 1,
  eventTime: 0,
  eventId: 199,
  columns: Array.from({ length: 200 }, (_, at) => {
    if (at === 0) return column("t", { kind: "TIMESTAMPTZ" }, { decoding: { kind: "epoch_us" } });
    if (at === 150)
      return column("m150", { kind: "DECIMAL", precision: 38, scale: 2 }, { defaultJson: "-1.5" });
    if (at === 160) return column("long".repeat(30), { kind: "VARCHAR" }, { nullable: true });
    return column(
      `m${at}`,
      { kind: "BIGINT" },
      { nullable: at % 3 > 0, ...(at % 3 > 0 ? {} : { defaultJson: String(at) }) },
    );
  }),
};

test("200 members, any subset of them, agree with the twin", () => {
  const bench = new Bench(SCHEMA, { rowsMax: 64, imageBytesMax: 2 * 1024 * 1024 });
  const subset = fc.shuffledSubarray(SCHEMA.columns.map(({ name }) => name).slice(1));
  fc.assert(
    fc.property(fc.array(subset, { minLength: 1, maxLength: 4 }), fc.nat(3), (subsets, repeats) => {
      const lines = subsets.flatMap((names) => {
        const members = names.map(
          (name) => `"${name}":${name.startsWith("long") ? '"x"' : name.length}`,
        );
        return Array.from(
          { length: repeats + 1 },
          (_, at) => `{${['"t":' + at, ...members].join(",")}}`,
        );
      });
      const body = Buffer.from(lines.join("\n"));
      const { rows, rejects } = bench.decode(body, "ndjson");
      const expected = decodeReference(body, "ndjson", SCHEMA.columns, {
        eventBytesMax: 1024 * 1024,
        bodyRejectsMax: BODY_REJECTS_MAX,
      });
      expect(rejects).toEqual([]);
      expect(rows).toEqual(expected.rows);
    }),
    { numRuns: 150 },
  );
});

test("a missing member beyond the first word is named", () => {
  const columns = SCHEMA.columns.map((one, at) =>
    at === 130 ? column("needed", { kind: "BIGINT" }) : one,
  );
  const bench = new Bench({ ...SCHEMA, columns }, { rowsMax: 64, imageBytesMax: 2 * 1024 * 1024 });
  expect(bench.decode(Buffer.from('{"t":1}'), "json").rejects).toMatchObject([
    { reason: "missing_member", field: "needed" },
  ]);
  expect(bench.decode(Buffer.from('{"needed":2,"t":1}'), "json").rows[0]?.[130]).toBe(2n);
});
