// The events of goldens: written once into a case's folder, or made anew by each run where the case has made.yaml, so that thousands of
// events need not be kept. The same seed gives the same events.
import { join } from "node:path";
import { parse } from "yaml";
import { seeded } from "../../bench/load-body.ts";
import { EVENTS_FILE, type FixtureFiles } from "../../src/rehearsal/fixture.ts";
import { folderFiles } from "../../src/rehearsal/folders.ts";

const MADE_FILE = "made.yaml";
const BEGIN_MS = Date.UTC(2024, 0, 1);

/** What decides the events of a case. `atOnce`: how many are received at one time. */
interface Made {
  readonly seed: number;
  readonly count: number;
  readonly atOnce: number;
}

/** The files of a case, its events among them. */
export function caseFiles(folder: string): FixtureFiles {
  const files = folderFiles(join(folder));
  if (!files.names().includes(MADE_FILE)) return files;
  const events = madeEvents(parse(files.text(MADE_FILE)) as Made);
  return {
    names: () => [...files.names(), EVENTS_FILE],
    text: (name) => (name === EVENTS_FILE ? events : files.text(name)),
  };
}

/** Lines of events, one every 300 ms: mostly a second or two out of order, some far behind, some twice, some from the future. */
export function madeEvents({ seed, count, atOnce }: Made): string {
  const random = seeded(seed);
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
  const lines: string[] = [];
  const iso = (ms: number): string => new Date(ms).toISOString();
  for (let id = 1; id <= count; id++) {
    const nowMs = BEGIN_MS + id * 300;
    // Many are received at a time, so that they may come as one request or each by itself.
    const receivedAt = iso(BEGIN_MS + Math.ceil(id / atOnce) * atOnce * 300 + 200);
    const fate = random();
    const behindMs = fate < 0.06 ? 5_000 + random() * 70_000 : random() * 3_500;
    const timeMs = fate > 0.99 ? nowMs + 3_600_000 : nowMs - Math.floor(behindMs);
    const micros = String(Math.floor(random() * 1000)).padStart(3, "0");
    const event = {
      id,
      time: iso(timeMs).replace("Z", `${micros}Z`),
      page: pick([null, "/a", "/a", "/b", "/c/ü", ""]),
      user: pick([null, 1, 2, 3, 4, 5, 6, 7]),
      kind: pick(["view", "view", "cart", "buy"]),
      ok: pick([null, true, false]),
      n: pick([null, 0, 1, -7, 46341, 2147483647, -2147483648]),
      big: pick([0, 1, -1, 9007199254740991, -9007199254740991]),
      ratio: pick([null, 0, 0.25, -0.5, 1e15, 3.75]),
      half: pick([0, 0.5, -1.5, 1024]),
      price: pick(["0", "9.99", "-0.01", "99999999.99"]),
      wide: pick([null, "0.0001", "-12345678901234567890.1234", "98765432109876543210"]),
      day: pick([null, "1969-12-31", "2024-02-29"]),
      seen: pick([null, "1969-12-31T23:59:59.999999Z", "2024-01-01T00:00:00.5Z"]),
    };
    lines.push(JSON.stringify({ received_at: receivedAt, event }));
    const before = lines[Math.floor(random() * lines.length)] ?? "";
    if (fate > 0.94 && fate < 0.97)
      lines.push(before.replace(/"received_at":"[^"]*"/, `"received_at":"${receivedAt}"`));
  }
  return `${lines.join("\n")}\n`;
}
