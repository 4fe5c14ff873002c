// The decode kernel and its plain twin give the same rows and the same rejects: over generated events, any order of members, escapes,
// white space, cuts into bodies and batches, and damaged bytes.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { decodeReference } from "../../kernels/reference/decode.ts";
import { BODY_REJECTS_MAX } from "../../src/limits.ts";
import { Bench, EVERYTHING, type Decoded } from "./harness.ts";

const EVENT_BYTES_MAX = 600;
const bench = new Bench(EVERYTHING, {
  rowsMax: 5,
  imageBytesMax: 9000,
  eventBytesMax: EVENT_BYTES_MAX,
});
const wide = new Bench(EVERYTHING, { rowsMax: 1000, imageBytesMax: 4 * 1024 * 1024 });

const NUMBERS = fc.oneof(
  fc.constantFrom(
    "0",
    "-0",
    "1",
    "-1",
    "00",
    "1.",
    "-",
    "1e",
    "1e5",
    "1E+2",
    "35.79",
    "0.001",
    "99999999.99",
  ),
  fc.constantFrom(
    "2147483647",
    "2147483648",
    "-2147483649",
    "9223372036854775807",
    "-9223372036854775808",
  ),
  fc.constantFrom(
    "9223372036854775808",
    "1e308",
    "1e309",
    "1e-400",
    "123456789012345678901234567890.12345",
  ),
  fc.constantFrom(
    "3.4028235677973366e38",
    "3.40282346e38",
    "1.5e38",
    "0.0000000000000000000000000000000000001",
  ),
  fc.integer().map(String),
  fc.bigInt({ min: -(2n ** 65n), max: 2n ** 65n }).map(String),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
  fc
    .tuple(fc.bigInt({ min: 0n, max: 10n ** 25n }), fc.integer({ min: -345, max: 310 }))
    .map(([m, e]) => `${m}e${e}`),
  fc.tuple(fc.nat(99999999), fc.nat(99999)).map(([whole, fraction]) => `${whole}.${fraction}`),
);
const TIMES = fc.oneof(
  fc
    .date({ min: new Date(-62135596800000), max: new Date(253402300799999), noInvalidDate: true })
    .map((date) => date.toISOString()),
  fc.constantFrom(
    "2019-10-01T00:00:03Z",
    "2019-10-01 10:20",
    "2019-10-01T00:00:03.1234567+05:30",
    "2019-02-29T00:00:00.000Z",
  ),
  fc.constantFrom(
    "2019-10-01T00:00:03.165ZZ",
    "2019-10-01T00:00:03.16 Z",
    "0001-01-01T00:00:00.000+23:59",
    "2019-10-01",
    "9999-12-31T23:59:59.999-01",
  ),
);

/** The JSON text of a string; now and then with escapes that need not be there, or that are wrong. */
const strings = (text: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.tuple(text, fc.nat(7), fc.nat(20)).map(([value, style, at]) => {
    const json = JSON.stringify(value);
    if (style > 1 || value.length === 0) return json;
    const index = at % value.length;
    const unit = value.charCodeAt(index).toString(16).padStart(4, "0");
    const escape = style === 0 ? `\\u${unit}` : `\\u${unit.toUpperCase()}`;
    const quote = (part: string): string => JSON.stringify(part).slice(1, -1);
    return `"${quote(value.slice(0, index))}${escape}${quote(value.slice(index + 1))}"`;
  });
const TEXT = fc.oneof(
  fc.string({ maxLength: 40 }),
  fc.string({ unit: "binary", maxLength: 20 }),
  fc.constantFrom("view", "cart", "purchase", "a_rather_long_symbol"),
);
const STRINGS = strings(fc.oneof(TEXT, TIMES, NUMBERS));
const ANY = fc.oneof(
  NUMBERS,
  STRINGS,
  fc.constantFrom(
    "true",
    "false",
    "null",
    "nul",
    "[]",
    "{}",
    "[1,{}]",
    '{"a":[],"b":{"c":0}}',
    "[1 2]",
    '{"a" 1}',
    '"\\x"',
    '"\\ud800"',
    "[".repeat(70),
  ),
  fc.json({ maxDepth: 3 }),
);

/** A value that the column is likely to take. */
const fitting = new Map<string, fc.Arbitrary<string>>([
  ["BOOLEAN", fc.constantFrom("true", "false")],
  ["INTEGER", fc.integer().map(String)],
  ["BIGINT", fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String)],
  ["FLOAT", fc.float({ noNaN: true, noDefaultInfinity: true }).map(String)],
  ["DOUBLE", fc.double({ noNaN: true, noDefaultInfinity: true }).map(String)],
  [
    "DECIMAL",
    fc.oneof(
      fc.nat(9_999_999).map((cents) => (cents / 100).toFixed(2)),
      NUMBERS,
    ),
  ],
  [
    "DATE",
    fc.oneof(fc.integer({ min: -700000, max: 2_900_000 }).map(String), fc.constant('"2020-02-29"')),
  ],
  ["TIMESTAMPTZ", strings(TIMES)],
  ["VARCHAR", strings(TEXT)],
]);

const SPACE = fc.constantFrom("", "", "", "", " ", "\t", " \r", "\n");

const MEMBERS = fc
  .tuple(
    fc.tuple(
      ...EVERYTHING.columns.map((column) =>
        fc.tuple(
          strings(fc.constant(column.name)),
          fc.oneof(
            { weight: 12, arbitrary: fitting.get(column.type.kind) ?? ANY },
            { weight: 1, arbitrary: ANY },
          ),
          fc.nat(9),
        ),
      ),
    ),
    fc.array(fc.tuple(STRINGS, ANY), { maxLength: 3 }),
  )
  .chain(([declared, undeclared]) => {
    // The event time is nearly always there, the others mostly.
    const kept = declared.filter(([, , keep], ordinal) => keep > (ordinal === 0 ? 0 : 3));
    const members = [...kept.map(([name, value]) => [name, value] as const), ...undeclared];
    return fc.shuffledSubarray(members, { minLength: members.length });
  });

const EVENT = fc.oneof(
  {
    weight: 8,
    arbitrary: fc
      .tuple(MEMBERS, SPACE, SPACE, SPACE)
      .map(
        ([members, a, b, c]) =>
          `{${a}${members.map(([name, value]) => `${name}${b}:${c}${value}`).join(`${a},${b}`)}${c}}`,
      ),
  },
  { weight: 1, arbitrary: ANY },
);

/** Latin-1 text of a result, so that differences print well. */
function plain(decoded: Decoded): unknown {
  return {
    rows: decoded.rows,
    indexes: decoded.indexes,
    rejects: decoded.rejects.map(({ index, reason, field, raw }) => ({
      index,
      reason,
      field,
      raw: Buffer.from(raw).toString("latin1"),
    })),
  };
}

function agree(
  on: Bench,
  body: Uint8Array,
  format: "json" | "ndjson",
  eventBytesMax: number,
  bodyRejectsMax = BODY_REJECTS_MAX,
): Decoded {
  const decoded = on.decode(body, format);
  const bounds = { eventBytesMax, bodyRejectsMax };
  const expected = decodeReference(body, format, EVERYTHING.columns, bounds);
  expect(plain(decoded)).toEqual(expected);
  for (const reject of decoded.rejects) expect(reject.message.length).toBeGreaterThan(10);
  return decoded;
}

/** The body that holds the events, in one of the shapes. */
function bodyOf(
  events: readonly string[],
  shape: number,
): { text: string; format: "json" | "ndjson" } {
  if (shape === 0) return { text: `[${events.join(",")}]`, format: "json" };
  if (shape === 1) return { text: `{"events": [${events.join(" , ")}]}`, format: "json" };
  if (shape === 2) return { text: events[0] ?? "", format: "json" };
  return { text: events.join("\n"), format: "ndjson" };
}

test("after its last reject the rest of a body is one more, however it is cut into batches", () => {
  const options = { imageBytesMax: 9000, eventBytesMax: EVENT_BYTES_MAX, bodyRejectsMax: 3 };
  const small = new Bench(EVERYTHING, { ...options, rowsMax: 2 });
  const large = new Bench(EVERYTHING, { ...options, rowsMax: 1000 });
  const events = fc.array(
    fc.oneof(
      fc.constantFrom("1", "{}", '{"t":7}', '{"t":8,"ratio":0.1234567890123456789012}', " "),
      EVENT,
    ),
    { maxLength: 14 },
  );
  const around = fc.constantFrom("", "\n", " \n\t", "x");
  let unread = 0;
  fc.assert(
    fc.property(events, fc.nat(6), around, (list, shape, after) => {
      const { text, format } = bodyOf(list, shape);
      const body = Buffer.from(text + after);
      const decoded = agree(small, body, format, EVENT_BYTES_MAX, 3);
      expect(plain(large.decode(body, format))).toEqual(plain(decoded));
      expect(decoded.rejects.length).toBeLessThanOrEqual(4);
      if (decoded.rejects.at(-1)?.reason === "too_many_rejects") unread++;
    }),
    { numRuns: 1000 },
  );
  expect(unread).toBeGreaterThan(200);
});

test("kernel and twin agree on generated bodies, over batches of five rows", () => {
  let rows = 0;
  let rejects = 0;
  fc.assert(
    fc.property(fc.array(EVENT, { maxLength: 9 }), fc.nat(6), (events, shape) => {
      const { text, format } = bodyOf(events, shape);
      const decoded = agree(bench, Buffer.from(text), format, EVENT_BYTES_MAX);
      rows += decoded.rows.length;
      rejects += decoded.rejects.length;
    }),
    { numRuns: 1500 },
  );
  expect(rows).toBeGreaterThan(200);
  expect(rejects).toBeGreaterThan(200);
});

test("kernel and twin agree on damaged, cut and random bytes, which never trap", () => {
  const damage = fc.array(
    fc.tuple(fc.nat(), fc.oneof(fc.nat(255), fc.constantFrom(34, 92, 10, 0, 123, 125, 44))),
    { maxLength: 4 },
  );
  fc.assert(
    fc.property(
      fc.array(EVENT, { minLength: 1, maxLength: 4 }),
      fc.nat(6),
      damage,
      fc.nat(4),
      (events, shape, hits, cut) => {
        const { text, format } = bodyOf(events, shape);
        const bytes = Buffer.from(text);
        for (const [at, byte] of hits) bytes[at % bytes.length] = byte;
        const body = cut === 0 ? bytes.subarray(0, (hits[0]?.[0] ?? 0) % bytes.length) : bytes;
        agree(bench, body, format, EVENT_BYTES_MAX);
      },
    ),
    { numRuns: 1500 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, lines) => {
      agree(bench, bytes, lines ? "ndjson" : "json", EVENT_BYTES_MAX);
    }),
    { numRuns: 500 },
  );
});

test("events of one producer, whose shape the kernel learns, mixed with another's", () => {
  const likeClicks = fc.record({
    t: fc
      .date({ min: new Date(1e12), max: new Date(2e12), noInvalidDate: true })
      .map((date) => date.toISOString()),
    id: fc.uuid(),
    count: fc.integer(),
    price: fc.nat(99999).map((cents) => cents / 100),
    note: fc.oneof(fc.constant(null), fc.constantFrom("red", "blue", "grün"), fc.string()),
    kind: fc.constantFrom("view", "cart"),
    big_number: fc.option(fc.maxSafeInteger()),
  });
  fc.assert(
    fc.property(
      fc.array(likeClicks, { minLength: 40, maxLength: 80 }),
      fc.nat(2),
      (events, style) => {
        const lines = events.map((event, index) => {
          if (style === 0 || index % 7 > 0) return JSON.stringify(event);
          return JSON.stringify(
            Object.fromEntries(Object.entries(event).toReversed()),
            null,
            1,
          ).replaceAll("\n", " ");
        });
        const body = Buffer.from(`${lines.join("\n")}\n`);
        expect(agree(wide, body, "ndjson", 1024 * 1024).rejects).toEqual([]);
        expect(
          agree(wide, Buffer.from(`[${lines.join(",")}]`), "json", 1024 * 1024).rejects,
        ).toEqual([]);
      },
    ),
    { numRuns: 60 },
  );
});

test("doubles are the nearest ones", () => {
  const texts = fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value.toExponential(20)),
    fc
      .tuple(fc.bigInt({ min: 0n, max: 2n ** 70n }), fc.integer({ min: -350, max: 300 }))
      .map(([m, e]) => `${m}e${e}`),
    // Half-way cases and their neighbours.
    fc
      .tuple(
        fc.bigInt({ min: 2n ** 53n, max: 2n ** 54n }),
        fc.integer({ min: 0, max: 60 }),
        fc.integer({ min: -1, max: 1 }),
      )
      .map(([m, shift, near]) => ((m * 2n + 1n) * 2n ** BigInt(shift) + BigInt(near)).toString()),
  );
  const ratio = EVERYTHING.columns.findIndex((column) => column.name === "ratio");
  fc.assert(
    fc.property(fc.array(texts, { minLength: 50, maxLength: 50 }), (numbers) => {
      const finite = numbers.filter((text) => Number.isFinite(Number(text)));
      const body = Buffer.from(finite.map((text) => `{"t":0,"ratio":${text}}`).join("\n"));
      const { rows } = wide.decode(body, "ndjson");
      expect(rows.map((row) => row[ratio])).toEqual(finite.map(Number));
    }),
    { numRuns: 200 },
  );
});
