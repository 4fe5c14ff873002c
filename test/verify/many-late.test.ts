// `millrace verify` of sessions with more late events than a question could name, a third of them of one key: compared in parts of the keys.
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { seeded } from "../../bench/load-body.ts";
import { Appliance, FROM_SOURCE, temporaryFolder } from "../e2e/appliance.ts";

const SCHEMA = {
  type: "record",
  name: "Visit",
  fields: [
    { name: "id", type: "long" },
    { name: "seen_at", type: { type: "long", logicalType: "timestamp-micros" } },
    { name: "who", type: "string" },
  ],
};
const EVENTS = 320_000;
const BODY_EVENTS = 20_000;

const configText = (value: string, port: string): string => `
streams:
  visits: { schema: visits.avsc, event_time: seen_at, event_id: id, out_of_orderness: 2s }
views:
  seen:
    sql: |
      SELECT window_start, window_end, who, count(*) AS n, sum(${value}) AS total FROM session(visits, seen_at, INTERVAL 3 SECONDS, who) GROUP BY ALL
server: { listen: "${port}" }
`;

/** A day's events, most of them minutes behind the newest. */
function* bodies(): Generator<string> {
  const random = seeded(11);
  for (let id = 0; id < EVENTS; id += BODY_EVENTS) {
    const lines = Array.from({ length: BODY_EVENTS }, (_, n) => {
      const offsetMs = (id + n) * 250 - (random() < 0.9 ? Math.floor(random() * 600_000) : 0);
      const at = new Date(Date.UTC(2024, 0, 1) + offsetMs).toISOString();
      const who = random() < 0.3 ? "everyone" : `u${Math.floor(random() * 2000)}`;
      return `{"id":${id + n},"seen_at":"${at}","who":"${who}"}`;
    });
    yield lines.join("\n");
  }
}

async function verify(config: string, data: string): Promise<{ code: number; out: string }> {
  const child = Bun.spawn([...FROM_SOURCE, "verify", "seen", "--config", config, "--data", data], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const out = await new Response(child.stdout).text();
  return { code: await child.exited, out };
}

test("a quarter of a million late events", async () => {
  const folder = temporaryFolder();
  const config = join(folder.path, "good.yaml");
  const other = join(folder.path, "other.yaml");
  const data = join(folder.path, "data");
  writeFileSync(join(folder.path, "visits.avsc"), JSON.stringify(SCHEMA));
  writeFileSync(config, configText("id", "127.0.0.1:0"));
  const appliance = await Appliance.start({ config, data });
  try {
    const address = appliance.address.replace("http://", "");
    writeFileSync(config, configText("id", address));
    writeFileSync(other, configText("id + 1", address));
    let position = 0;
    for (const body of bodies()) ({ position } = await appliance.send(body));
    const { rows } = await appliance.rows(
      "SELECT (SELECT count(*) FROM millrace.late_events), (SELECT count(*) FROM visits WHERE _behind > 0), (SELECT count(*) FROM seen)",
      position,
    );
    const [late, behind, sessions] = (rows[0] ?? []).map(Number);
    expect(late).toBeGreaterThan(200_000);
    expect(behind).toBeGreaterThan(200_000);
    const shown = (sessions ?? 0).toLocaleString("en-US");
    expect(await verify(config, data)).toEqual({
      code: 0,
      out: `seen: same: ${shown} rows at position ${position}\n`,
    });
    const wrong = await verify(other, data);
    expect(wrong.code).toBe(1);
    expect(wrong.out).toContain(`DIFFERENT: ${shown} rows differ; the stream has ${shown} rows`);
    expect(wrong.out.match(/total: stream/g)).toHaveLength(100);
  } finally {
    await appliance.kill();
    folder.dispose();
  }
}, 120_000);
