// Verb: what `millrace demo` shows once the appliance serves: plays the bundled clicks (into an empty stream only), prints what SQL
// says about them, and what to try next.
import type { Clock } from "../base/clock.ts";
import type { Client, Rows } from "./client.ts";
import { eventsIn, play } from "./play.ts";
import type { Screen } from "./play.ts";

const STREAM = "clicks";

/** Questions that the demo asks, with a headline each. */
const QUESTIONS: readonly { readonly title: string; readonly sql: string }[] = [
  {
    title: "The shop, every ten minutes",
    sql: "SELECT strftime(window_start, '%H:%M') AS time, views, carts, purchases, revenue, sessions, is_final FROM shop_ten_minutes ORDER BY window_start DESC LIMIT 6",
  },
  {
    title: "Pages seen most within one minute",
    sql: "SELECT strftime(window_start, '%H:%M') AS time, page_url, view_count, unique_users FROM page_views_minute ORDER BY view_count DESC, window_start, page_url LIMIT 5",
  },
  {
    title: "What people paid for",
    sql: "SELECT coalesce(category_code, '(none)') AS category, sum(events) AS purchases, sum(amount) AS revenue FROM category_minute WHERE event_type = 'purchase' GROUP BY ALL ORDER BY revenue DESC LIMIT 5",
  },
];

function cellText(value: unknown): string {
  if (value === null) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Rows as a text table; columns of numbers are set right. */
export function tableText({ columns, rows }: Pick<Rows, "columns" | "rows">): string {
  const cells = [columns.map(({ name }) => name), ...rows.map((row) => row.map(cellText))];
  const widths = columns.map((_, at) => Math.max(...cells.map((row) => (row[at] ?? "").length)));
  const isNumber = columns.map(({ type }) => /INT|DECIMAL|DOUBLE|FLOAT/.test(type));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, at) => {
        const width = widths[at] ?? 0;
        return isNumber[at] === true ? cell.padStart(width) : cell.padEnd(width);
      })
      .join("  ")
      .trimEnd();
  return cells.map((row) => `  ${line(row)}`).join("\n");
}

/** Things to try, with the appliance's address in them. */
function hints(url: string, made: string | null): string {
  const auth = made === null ? "" : ` -H 'Authorization: Bearer ${made}'`;
  const event =
    '{"event_id":1000001,"event_time":"2019-10-01T02:51:30Z","event_type":"view","page_url":"/a/1","product_id":1,"category_id":1,"price":9.99,"user_id":1}';
  return `Serving on ${url}. Try:

  send an event; its time closes the windows before it:
    curl${auth} ${url}/v1/events/clicks -H 'Content-Type: application/json' -d '${event}'
  ask anything, as JSON, NDJSON or CSV:
    curl${auth} ${url}/v1/sql -d 'SELECT event_type, count(*), sum(price) FROM clicks GROUP BY ALL'
    curl${auth} '${url}/v1/sql?format=csv' -d 'SELECT * FROM page_views_minute LIMIT 10'
  send it again and see a duplicate; send nonsense and look at millrace.dead_letters
  how it is: ${url}/metrics ${url}/ready

Ctrl-C drains, saves and stops; a second start finds the data again.
`;
}

/** Runs the demo against a serving appliance. Throws ApplianceError when it refuses. Returns when all is printed. */
export async function runDemo(
  given: {
    readonly client: Client;
    readonly url: string;
    /** The key to show in curl lines; null when none is needed. */
    readonly key: string | null;
    /** The bundled clicks as JSON texts. */
    readonly events: readonly string[];
  },
  screen: Screen,
  clock: Clock,
): Promise<void> {
  const { client, url, key, events } = given;
  let after: number | null = null;
  const there = await eventsIn(client, STREAM);
  if (there > 0)
    screen.write(`The stream holds ${there.toLocaleString("en-US")} events of an earlier run.\n`);
  else {
    screen.write(
      `Playing ${events.length.toLocaleString("en-US")} real clicks through ${url}/v1/events/${STREAM}\n`,
    );
    const played = await play(client, { stream: STREAM, events, rateMax: null }, screen, clock);
    after = played.position;
    const counts = `${played.accepted} accepted, ${played.duplicates} duplicates, ${played.rejected} rejected`;
    screen.write(
      `${counts} in ${played.seconds.toFixed(1)} s, each on disk before it was acknowledged.\n`,
    );
  }
  for (const { title, sql } of QUESTIONS) {
    const rows = await client.ask(sql, after);
    screen.write(`\n${title}\n${tableText(rows)}\n`);
  }
  screen.write(`\n${hints(url, key)}`);
}
