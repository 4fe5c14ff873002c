// DuckDB over the same events: the answer that the stream's rows are compared with. Reads events as plain JSON, knows the view's text,
// uses nothing of the stream's code but the window macros.
import { DuckDb } from "../../src/base/duckdb.ts";
import { WINDOW_MACROS } from "../../src/view/macros.ts";

/** Six sigma of HyperLogLog with 4,096 registers (Flajolet et al. 2007: 1.04 / sqrt(m)). */
export const HLL_SIX_SIGMA = (6 * 1.04) / Math.sqrt(4096);

/** Rows of `sql` over `events` (JSON texts), as text, in the order of all their columns. `columns` are the DuckDB types of the stream. */
export async function batchRows(
  events: readonly string[],
  sql: string,
  options: { readonly stream: string; readonly columns: Readonly<Record<string, string>> },
): Promise<string[][]> {
  const duckdb = await DuckDb.open();
  const path = `${process.env["TMPDIR"] ?? "/tmp"}/oracle-${crypto.randomUUID()}.ndjson`;
  await Bun.write(path, `${events.join("\n")}\n`);
  const connection = await duckdb.connect();
  try {
    const columns = Object.entries(options.columns).map(([name, type]) => `${name}: '${type}'`);
    await connection.run(
      `CREATE TABLE ${options.stream} AS SELECT *, 0::BIGINT AS _behind, 1::BIGINT AS _position, row_number() OVER () AS _index FROM read_json('${path}', format='newline_delimited', columns={${columns.join(", ")}})`,
    );
    await connection.execute(WINDOW_MACROS);
    const { rows } = await connection.run(`SELECT COLUMNS(*)::VARCHAR FROM (${sql}) ORDER BY ALL`);
    return rows.map((row) => row.map(String));
  } finally {
    connection.close();
    await Bun.file(path).delete();
  }
}

/** The same text with an exact count in place of the sketch. */
export function exactDistinct(sql: string): string {
  return sql.replaceAll(/approx_count_distinct\(([^)]*)\)/g, "count(DISTINCT $1)");
}

/** The same text with the log's order said for first and last: in DuckDB alone they have none. */
export function inLogOrder(sql: string): string {
  return sql.replaceAll(/\b(first|last)\((\w+)\)/g, "$1($2 ORDER BY _position, _index)");
}
