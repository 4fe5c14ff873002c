// Every benchmark runs small, so that none can rot, each in a process of its own. Rates depend on the machine and are printed only; what
// was computed on the way is the same everywhere: it is held against the hash of the seed's result. A hash that changes says that a format or
// a result changed: if that was meant, write the new one here.
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { AnswerReader } from "../bench/answer-reader.ts";
import { isMissed, wantedText, type BenchLine } from "../bench/line.ts";
import { LoadBody } from "../bench/load-body.ts";

const ROOT = join(import.meta.dir, "..");

/** Hashes of each stage's lines that have one, in their order; `decode`: members in order and shuffled give the same images. */
const EXPECTED: Readonly<Record<string, readonly string[]>> = {
  decode: ["90d98fdf8f64aa38", "90d98fdf8f64aa38"],
  admit: ["5d6d766ee90080a2", "9e0be2ac66fb7d3c", "5c38f5a8687de4a0"],
  fold: ["ed7ac9b62ac26cbf", "ed7ac9b62ac26cbf"],
  late: ["1499"],
  session: ["71978dbac6297eb2", "4ee71bcbbffeec79"],
  log: ["bdc1cc65152aea42", "546155d68be387b0"],
  export: ["2b7966033ed0c83a"],
  twins: [],
  path: [],
  ids: [],
  views: [],
  restart: [],
  checkpoint: [],
  questions: [],
  "slow-disk": [],
  hold: [],
  ship: [],
};

async function runSmall(stage: string): Promise<BenchLine[]> {
  const child = Bun.spawn(
    [process.execPath, "--no-install", join(ROOT, "bench", "main.ts"), "--stage", stage, "--small"],
    { cwd: ROOT, stdin: "ignore", stdout: "pipe", stderr: "pipe" },
  );
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0) throw new Error(`the benchmark of ${stage} failed:\n${out}${err}`);
  return out
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as BenchLine);
}

test("the table says what is wanted, and what is missed", () => {
  const rate = { stage: "s", rate: 699_999, unit: "events/s", wanted: { least: 700_000 } };
  expect([wantedText(rate), isMissed(rate)]).toEqual(["at least 700,000", true]);
  expect(isMissed({ ...rate, rate: 700_000 })).toBe(false);
  const time = { stage: "s", rate: 10.5, unit: "ms", wanted: { most: 10 } };
  expect([wantedText(time), isMissed(time)]).toEqual(["at most 10", true]);
  expect(isMissed({ ...time, rate: 10 })).toBe(false);
});

test("every event of a load body has the id and the time that were stamped last", () => {
  const body = LoadBody.make({ seed: 1, events: 3, users: 10, categories: 10 });
  const stamps = [
    { sequence: 7, epochMs: 1_800_000_000_998 },
    { sequence: 7, epochMs: 1_800_000_000_999 },
    { sequence: 99, epochMs: 1_800_000_001_000 },
    { sequence: 100, epochMs: 1_800_000_001_000 },
    { sequence: 9_000_000_000, epochMs: 1_799_999_999_001 },
    { sequence: 1_000_000_001, epochMs: 1_800_000_061_001 },
  ];
  for (const { sequence, epochMs } of stamps) {
    body.stamp(sequence, epochMs);
    const events = new TextDecoder()
      .decode(body.bytes)
      .trimEnd()
      .split("\n")
      .map(
        (line) => JSON.parse(line) as { readonly event_id: string; readonly event_time: string },
      );
    const ids = ["000000", "000001", "000002"].map(
      (row) => `${String(sequence).padStart(10, "0")}-${row}`,
    );
    expect(events.map(({ event_id: id }) => id)).toEqual(ids);
    expect(new Set(events.map(({ event_time: time }) => time))).toEqual(
      new Set([new Date(epochMs).toISOString()]),
    );
  }
});

test("the load client reads answers whole and in pieces, and keeps what is no plain success", () => {
  const reader = new AnswerReader();
  const answer = (status: string, body: string): Uint8Array =>
    new TextEncoder().encode(
      `HTTP/1.1 ${status}\r\nDate: today\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
  const success = (accepted: number, position: number): Uint8Array =>
    answer(
      "200 OK",
      `{"accepted":${accepted},"duplicates":2,"rejected":0,"errors":[],"position":${position}}\n`,
    );
  expect(reader.take(success(1, 7))).toBe(true);
  expect({ ...reader }).toEqual({
    status: 200,
    accepted: 1,
    duplicates: 2,
    rejected: 0,
    position: 7,
    text: "",
  });
  // the position is longer, so the head's end and length are too
  const bytes = success(1000, 123_456_789);
  for (let at = 0; at < bytes.length - 1; at++)
    expect(reader.take(bytes.subarray(at, at + 1))).toBe(false);
  expect(reader.take(bytes.subarray(-1))).toBe(true);
  expect([reader.accepted, reader.position]).toEqual([1000, 123_456_789]);
  const rejected =
    '{"accepted":1,"duplicates":0,"rejected":1,"errors":[{"index":0}],"position":8}\n';
  expect(reader.take(answer("200 OK", rejected))).toBe(true);
  expect([reader.accepted, reader.text]).toEqual([0, rejected]);
  expect(reader.take(answer("503 Busy", "{}"))).toBe(true);
  expect([reader.status, reader.text]).toEqual([503, "{}"]);
  expect(() => reader.take(new TextEncoder().encode("HTTP/1.1 200 OK\r\n\r\n"))).toThrow("length");
});

test("every benchmark is here", () => {
  const stages = readdirSync(join(ROOT, "bench"))
    .filter((name) => name.endsWith(".ts"))
    .filter((name) =>
      /export (async )?function run\(/.test(readFileSync(join(ROOT, "bench", name), "utf8")),
    )
    .map((name) => name.replace(".ts", ""));
  expect(Object.keys(EXPECTED).toSorted()).toEqual(stages.toSorted());
});

for (const [stage, hashes] of Object.entries(EXPECTED))
  test(`bench ${stage}, small`, async () => {
    const lines = await runSmall(stage);
    for (const { stage: name, rate, unit, hash = "" } of lines)
      console.log(`bench ${name}: ${rate.toPrecision(3)} ${unit} ${hash}`);
    expect(lines.length).toBeGreaterThan(1);
    for (const { rate } of lines) expect(rate).toBeGreaterThan(0);
    expect(lines.flatMap(({ hash }) => (hash === undefined ? [] : [hash]))).toEqual([...hashes]);
  }, 120_000);
