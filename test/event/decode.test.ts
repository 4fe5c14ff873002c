// Single cases of the decode kernel that people will ask about, one sentence each.
import { describe, expect, test } from "bun:test";
import { VERDICT_ACCEPTED, VERDICT_DUPLICATE } from "../../kernels/abi.ts";
import { imageRows, streamImageColumns } from "../../src/event/image.ts";
import { Bench, column, EVERYTHING, KEY } from "./harness.ts";

const OPTIONS = { rowsMax: 64, imageBytesMax: 2 * 1024 * 1024, eventBytesMax: 1024 * 1024 };
const bench = new Bench(EVERYTHING, OPTIONS, 20 * 1024 * 1024);
const T = '"t":"2019-10-01T00:00:00.000Z"';

function decode(text: string | Uint8Array, format: "json" | "ndjson" = "json") {
  return bench.decode(typeof text === "string" ? Buffer.from(text) : text, format);
}

/** The value of one member that is not refused. */
function value(name: string, json: string): unknown {
  const { rows, rejects } = decode(`{${name === "t" ? "" : `${T},`}"${name}":${json}}`);
  expect(rejects).toEqual([]);
  return rows[0]?.[EVERYTHING.columns.findIndex((candidate) => candidate.name === name)];
}

function reason(text: string | Uint8Array, format: "json" | "ndjson" = "json"): string {
  const { rejects } = decode(text, format);
  return rejects.map((reject) => `${reject.index} ${reject.reason} ${reject.field}`).join("; ");
}

function refusal(name: string, json: string): string {
  return reason(`{${name === "t" ? "" : `${T},`}"${name}":${json}}`);
}

describe("times", () => {
  test.each([
    ['"1970-01-01T00:00:00Z"', 0n],
    ['"1970-01-01 00:00:00.1234567Z"', 123456n],
    ['"1969-12-31T23:59:59.999999Z"', -1n],
    ['"2019-10-01T02:00:00.165+02:00"', 1569888000165000n],
    ['"2019-10-01T02:00+0200"', 1569888000000000n],
    ['"2019-09-30t21:00:00-03"', 1569888000000000n],
    ['"2019-10-01T00:00:00"', 1569888000000000n],
    ['"2000-02-29T00:00:00z"', 951782400000000n],
    ['"2019\\u002d10-01T00:00:00.000Z"', 1569888000000000n],
    ["1569888000000000", 1569888000000000n],
    ["-1", -1n],
  ])("%s", (json, micros) => {
    expect(value("t", json)).toBe(micros);
  });
  test("milliseconds where the schema says so", () => {
    expect(value("at_ms", "1569888000165")).toBe(1569888000165000n);
  });
  test.each([
    '"2019-02-29T00:00:00Z"',
    '"1900-02-29T00:00:00Z"',
    '"2019-13-01T00:00:00Z"',
    '"2019-00-01T00:00:00Z"',
    '"2019-04-31T00:00:00.000Z"',
    '"2019-10-01T24:00:00Z"',
    '"2019-10-01T00:60:00Z"',
    '"2019-10-01T00:00:60.000Z"',
    '"2019-10-01T00:00:00.Z"',
    '"2019-10-01"',
    '"2019-10-01T00:00:00.000X"',
    '"2019-10-01T00:00:00+24:00"',
    '"2019-10-01T00:00:00.1x5Z"',
    '"0000-01-01T00:00:00Z"',
    '""',
  ])("%s does not exist", (json) => {
    expect(refusal("t", json)).toBe("0 bad_time t");
  });
  test("outside of the years 1 to 9999", () => {
    expect(refusal("t", '"0001-01-01T00:00:00+01:00"')).toBe("0 out_of_range t");
    expect(refusal("t", "9223372036854775807")).toBe("0 out_of_range t");
    expect(refusal("t", "99999999999999999999")).toBe("0 out_of_range t");
    expect(refusal("day", "2932897")).toBe("0 out_of_range day");
  });
  test("dates", () => {
    expect(value("day", '"1970-01-02"')).toBe(1);
    expect(value("day", "-5")).toBe(-5);
    expect(refusal("day", '"2021-02-29"')).toBe("0 bad_time day");
    expect(refusal("day", '"2021-02-28T00:00:00Z"')).toBe("0 bad_time day");
  });
});

describe("numbers", () => {
  test.each([
    "0.1",
    "-0.0",
    "1e23",
    "8.98846567431158e307",
    "1.7976931348623157e308",
    "5e-324",
    "2.2250738585072011e-308",
    "9007199254740993",
    "0.30000000000000004",
    "123456789012345678901234567890",
    "1e-400",
    "7.2057594037927933e16",
    "9223372036854775807.5",
    "2.4703282292062327208e-324",
    "2.4703282292062328e-324",
    "179769313486231580793728971405301e276",
    "1.00000000000000011102230246251565404236316680908203125",
    "1.00000000000000011102230246251565404236316680908203126",
  ])("double %s", (json) => {
    expect(value("ratio", json)).toBe(Number(json));
  });
  test("ranges", () => {
    expect(value("big_number", "-9223372036854775808")).toBe(-(2n ** 63n));
    expect(refusal("big_number", "9223372036854775808")).toBe("0 out_of_range big_number");
    expect(refusal("big_number", "-9223372036854775809")).toBe("0 out_of_range big_number");
    expect(refusal("big_number", "1.0")).toBe("0 wrong_type big_number");
    expect(refusal("big_number", "1e3")).toBe("0 wrong_type big_number");
    expect(value("count", "-2147483648")).toBe(-(2 ** 31));
    expect(refusal("count", "2147483648")).toBe("0 out_of_range count");
    expect(refusal("ratio", "1e309")).toBe("0 out_of_range ratio");
    expect(refusal("small", "3.5e38")).toBe("0 out_of_range small");
    expect(refusal("ratio", '"1"')).toBe("0 wrong_type ratio");
  });
  test.each([
    ["35.79", 3579n],
    ["-0.5", -50n],
    ['"12.3"', 1230n],
    ["1e3", 100000n],
    ["99999999.99", 9999999999n],
    ["1.2300000000", 123n],
    ["0.00000000000", 0n],
    ["1234567000000e-8", 1234567n],
    ["-0", 0n],
    ["0e999999999", 0n],
  ])("decimal %s", (json, unscaled) => {
    expect(value("price", json)).toBe(unscaled);
  });
  test.each(["100000000", "0.001", "1e9", "1e-3", "1e99999999999", "99999999.991"])(
    "%s does not fit",
    (json) => {
      expect(refusal("price", json)).toBe("0 out_of_range price");
    },
  );
  test("decimals in strings must be numbers", () => {
    expect(refusal("price", '"1.2.3"')).toBe("0 wrong_type price");
    expect(refusal("price", '" 1"')).toBe("0 wrong_type price");
    expect(refusal("price", '""')).toBe("0 wrong_type price");
    expect(refusal("price", '"6.121 5"')).toBe("0 wrong_type price");
    expect(refusal("price", '"6.121"')).toBe("0 out_of_range price");
    expect(value("wide", `"-${"9".repeat(34)}.9999"`)).toBe(-(10n ** 38n - 1n));
  });
});

describe("members", () => {
  test("missing, null, default", () => {
    expect(reason("{}")).toBe("0 missing_member t");
    expect(reason('{"t":null}')).toBe("0 wrong_type t");
    expect(decode(`{${T}}`).rows[0]?.slice(1)).toEqual([
      null,
      null,
      -7,
      null,
      null,
      null,
      null,
      null,
      null,
      null,
      null,
      'dä"fault',
      null,
      null,
    ]);
  });
  test("twice is a reject, declared or not, escaped or not", () => {
    expect(reason(`{${T},"id":"a","id":"a"}`)).toBe("0 duplicate_member id");
    expect(reason(`{${T},"id":"a","\\u0069d":"a"}`)).toBe("0 duplicate_member id");
    expect(reason(`{${T},"x":1,"y":2,"x":3}`)).toBe("0 duplicate_member x");
  });
  test("undeclared members go to attrs verbatim, in order", () => {
    const { rows } = decode(`{"z": [1, {"q":null}] , ${T}, "a\\n" : "\\u00e4" }`);
    expect(rows[0]?.at(-1)).toBe('{"z": [1, {"q":null}],"a\\n" : "\\u00e4"}');
  });
  test("at most 256 undeclared members", () => {
    const many = (count: number) => Array.from({ length: count }, (_, i) => `"m${i}":${i}`).join();
    expect(decode(`{${T},${many(256)}}`).rows).toHaveLength(1);
    expect(reason(`{${T},${many(257)}}`)).toBe("0 too_large null");
  });
  test("enums", () => {
    expect(value("kind", '"c\\u0061rt"')).toBe("cart");
    expect(refusal("kind", '"carts"')).toBe("0 unknown_symbol kind");
    expect(refusal("kind", "1")).toBe("0 wrong_type kind");
  });
});

describe("bodies", () => {
  const E = `{${T}}`;
  test("one object, an array, an envelope, lines", () => {
    expect(decode(E).rows).toHaveLength(1);
    expect(decode(` [ ${E} , ${E} ] `).rows).toHaveLength(2);
    expect(decode(`{ "events" : [${E},${E},${E}] }`).rows).toHaveLength(3);
    expect(decode(`${E}\n\n \r\n${E}\r\n${E}`, "ndjson").rows).toHaveLength(3);
  });
  test("without events", () => {
    for (const body of ["", " \n", "[]", '{"events":[]}'])
      expect(decode(body)).toMatchObject({ rows: [], rejects: [] });
    expect(decode("\n \n\r\n", "ndjson")).toMatchObject({ rows: [], rejects: [] });
  });
  test("a bad line is one reject and spoils no neighbour", () => {
    expect(reason(`${E}\n{"t":\n${E}\n5\n{${T}} x\n${E}`, "ndjson")).toBe(
      "1 bad_json null; 3 not_an_object null; 4 bad_json null",
    );
  });
  test("in an array events before a grammar error count, the rest is one reject", () => {
    const { rows, rejects } = decode(`[${E},7,${E},{"t":tru},${E}]`);
    expect(rows).toHaveLength(2);
    expect(rejects.map((reject) => reject.reason)).toEqual(["not_an_object", "bad_json"]);
    expect(Buffer.from(rejects[1]?.raw ?? []).toString()).toBe(`{"t":tru},${E}]`);
    expect(rejects[1]?.message).toContain("byte 5");
  });
  test.each([
    "[",
    `[${E}`,
    `[${E},`,
    `[${E},]`,
    `[${E}]]`,
    `${E}${E}`,
    `{"events":[${E}],"x":1}`,
    `{"events":[${E}]`,
  ])("%s ends with one reject", (body) => {
    expect(decode(body).rejects.map((reject) => reject.reason)).toEqual(["bad_json"]);
  });
  test("a schema with a member named events has no envelope", () => {
    const schema = {
      ...EVERYTHING,
      columns: [...EVERYTHING.columns.slice(0, 2), column("events", { kind: "VARCHAR" })],
    };
    const other = new Bench(schema, OPTIONS);
    expect(other.decode(Buffer.from(`{"events":[]}`), "json").rejects[0]?.reason).toBe(
      "wrong_type",
    );
    expect(other.decode(Buffer.from(`{"events":"a",${T}}`), "json").rows).toHaveLength(1);
  });
  test("nesting", () => {
    const nest = (depth: number) => `{${T},"x":${"[".repeat(depth)}${"]".repeat(depth)}}`;
    expect(decode(nest(63)).rows).toHaveLength(1);
    expect(reason(`[${nest(64)},${E}]`)).toBe("0 too_deep null");
    expect(reason(`[${nest(10_000)},${E}]`)).toBe("0 too_deep null");
    expect(reason("[".repeat(10_000))).toBe("0 bad_json null");
    expect(reason(`{"x":${"[".repeat(200_000)}`, "ndjson")).toBe("0 too_deep null");
  });
  test("invalid UTF-8 and half surrogate pairs", () => {
    for (const bytes of [
      [0xff],
      [0xc0, 0x80],
      [0xe2, 0x82],
      [0xed, 0xa0, 0x80],
      [0xf5, 0x80, 0x80, 0x80],
    ]) {
      const body = Buffer.concat([
        Buffer.from(`[{${T},"id":"`),
        Buffer.from(bytes),
        Buffer.from(`"},${E}]`),
      ]);
      expect(reason(body)).toBe("0 bad_utf8 null");
      expect(decode(body).rows).toHaveLength(1);
    }
    expect(refusal("note", '"\\ud83d"')).toBe("0 bad_utf8 null");
    expect(refusal("undeclared", '"\\ude00\\ud83d"')).toBe("0 bad_utf8 null");
    expect(value("note", '"\\ud83d\\ude00 \\n\\u00e9 €"')).toBe("😀 \né €");
  });
  test("an event above the limit is too large, its neighbours are not", () => {
    const large = `{${T},"note":"${"x".repeat(1024 * 1024)}"}`;
    expect(reason(`${E}\n${large}\n${E}`, "ndjson")).toBe("1 too_large null");
    expect(reason(`[${E},${large},${E}]`)).toBe("1 too_large null");
    expect(decode(`[${E},${large},${E}]`).rows).toHaveLength(2);
    expect(reason("x".repeat(3_000_000), "ndjson")).toBe("0 too_large null");
  });
  test("after 10,000 rejects the rest is one more, whatever it is", () => {
    const bad = (count: number, between: string): string => Array(count).fill("7").join(between);
    const lines = decode(`${E}\n${bad(10_000, "\n")}\n\n${E}\n7\n`, "ndjson");
    expect(lines.batches).toBe(3);
    expect(lines.rows).toHaveLength(1);
    expect(lines.rejects).toHaveLength(10_001);
    expect(lines.rejects[9_999]).toMatchObject({ index: 10_000, reason: "not_an_object" });
    expect(lines.rejects[10_000]).toMatchObject({ index: 10_001, reason: "too_many_rejects" });
    expect(Buffer.from(lines.rejects[10_000]?.raw ?? []).toString()).toBe(`${E}\n7\n`);
    for (const [from, to] of [
      ["[", "]"],
      ['{"events":[', "]}"],
    ] as const) {
      const array = decode(`${from}${bad(10_000, ",")} , ${E}${to}`, "json");
      expect(array.rejects).toHaveLength(10_001);
      expect(Buffer.from(array.rejects[10_000]?.raw ?? []).toString()).toBe(`${E}${to}`);
      expect(decode(`${from}${bad(10_000, ",")}${to}`, "json").rejects).toHaveLength(10_000);
    }
    expect(decode("x\n".repeat(10_000), "ndjson").rejects).toHaveLength(10_000);
  });
});

describe("batches", () => {
  test("verdicts choose the rows, _behind goes with them", () => {
    const body = Buffer.from(Array.from({ length: 5 }, (_, i) => `{${T},"id":"i${i}"}`).join("\n"));
    bench.put(body);
    bench.decoder.begin("s");
    const half = body.indexOf(10) + 1;
    const first = bench.decoder.add({ address: bench.bodyAt, bytes: half, format: "ndjson" });
    expect(first).toMatchObject({ firstRow: 0, rowCount: 1, events: 1, cursor: null });
    bench.put(body);
    const rest = bench.decoder.add({
      address: bench.bodyAt + half,
      bytes: body.length - half,
      format: "ndjson",
    });
    expect(rest).toMatchObject({ firstRow: 1, rowCount: 4, events: 4, cursor: null });
    const verdicts = new Uint8Array(5).fill(VERDICT_ACCEPTED);
    verdicts[1] = VERDICT_DUPLICATE;
    const sealed = bench.decoder.seal(
      verdicts,
      BigInt64Array.of(0n, 5n, 0n, 7n, 0n),
      bench.targetAt,
    );
    expect(sealed.rowCount).toBe(4);
    const image = bench.instance.u8().slice(bench.targetAt, bench.targetAt + sealed.storedBytes);
    const rows = imageRows(image, streamImageColumns(EVERYTHING));
    expect(rows.map((row) => [row[1], row.at(-1)])).toEqual([
      ["i0", 0n],
      ["i2", 0n],
      ["i3", 7n],
      ["i4", 0n],
    ]);
    expect(bench.decoder.eventIndexOf(2)).toBe(1);
    expect(Buffer.from(bench.decoder.rawOf(2)).toString()).toBe(`{${T},"id":"i2"}`);
    expect(bench.decoder.eventTimeName()).toBe("t");
  });
  test("ids and times for admission", () => {
    const body = Buffer.from(`{${T},"id":"a"}\n{${T}}\n{"t":7,"id":"b"}\n{${T},"id":"\\u0061"}`);
    bench.put(body);
    bench.decoder.begin("s");
    bench.decoder.add({ address: bench.bodyAt, bytes: body.length, format: "ndjson" });
    const { rowCount, hashes, idValid, eventTimes } = bench.decoder.forAdmission(KEY, 0);
    expect(rowCount).toBe(4);
    expect([...eventTimes]).toEqual([1569888000000000n, 1569888000000000n, 7n, 1569888000000000n]);
    expect(idValid?.[0]).toBe(0b1101);
    const hash = (row: number) =>
      Buffer.from(hashes ?? [])
        .subarray(row * 16, row * 16 + 16)
        .toString("hex");
    expect(hash(0)).toBe(hash(3));
    expect(hash(1)).toBe("0".repeat(32));
    expect(new Set([hash(0), hash(1), hash(2)]).size).toBe(3);
    const before = hash(0);
    bench.decoder.forAdmission({ k0: 3n, k1: 4n }, 0);
    expect(hash(0)).not.toBe(before);
  });
});

test("numbers that the host converts are not mistaken for others at the same place", () => {
  const small = new Bench(EVERYTHING, { ...OPTIONS, rowsMax: 1 });
  const lines = (digit: number): Buffer =>
    Buffer.from(
      Array.from(
        { length: 4 },
        () => `{"t":0,"ratio":1.0000000000000001110223024625156540423631668090820312${digit}}`,
      ).join("\n"),
    );
  const ratios = (body: Buffer): unknown[] =>
    small.decode(body, "ndjson").rows.map((row) => row[5]);
  expect(ratios(lines(5))).toEqual([1, 1, 1, 1]);
  expect(ratios(lines(6))).toEqual(Array.from({ length: 4 }, () => 1.0000000000000002));
});
