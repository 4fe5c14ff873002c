// Verb: the text of a file with expected rows -> columns and cells as text. CSV as SQL answers it (RFC 4180 with a header; an empty
// field is NULL, "" the empty text), or a JSON array of objects. Knows no types: those are the relation's.

export interface ExpectedRows {
  readonly columns: readonly string[];
  /** null is NULL. */
  readonly rows: readonly (readonly (string | null)[])[];
}

/** Throws ExpectedRowsError with the line. */
export class ExpectedRowsError extends Error {
  override readonly name = "ExpectedRowsError";
}

/** One field with what ends it; quoted ones may hold line ends. */
const FIELD = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/y;

export function readCsv(text: string): ExpectedRows {
  const rows: (string | null)[][] = [];
  let row: (string | null)[] = [];
  FIELD.lastIndex = 0;
  while (FIELD.lastIndex < text.length) {
    const at = FIELD.lastIndex;
    const match = FIELD.exec(text);
    if (match === null) {
      const line = text.slice(0, at).split("\n").length;
      throw new ExpectedRowsError(`line ${line}: a quote stands where none may be`);
    }
    const [, quoted, plain = "", end] = match;
    row.push(quoted === undefined ? (plain === "" ? null : plain) : quoted.replaceAll('""', '"'));
    if (end === ",") {
      // A comma at the very end: the last field is empty.
      if (FIELD.lastIndex === text.length) row.push(null);
      else continue;
    }
    rows.push(row);
    row = [];
  }
  const [header = [], ...body] = rows;
  const columns = header.map((name) => name ?? "");
  for (const [index, { length }] of body.entries())
    if (length !== columns.length)
      throw new ExpectedRowsError(
        `row ${index + 1} has ${length} fields, the header ${columns.length}`,
      );
  return { columns, rows: body };
}

/** Numbers keep their digits. A member that an object lacks is NULL; the columns are the members of all. */
export function readJsonRows(text: string): ExpectedRows {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text, (_, value: unknown, context?: { readonly source?: string }) =>
      typeof value === "number" ? (context?.source ?? String(value)) : value,
    );
  } catch (error) {
    throw new ExpectedRowsError(error instanceof Error ? error.message : String(error));
  }
  if (!Array.isArray(parsed)) throw new ExpectedRowsError("write an array of objects, one a row");
  const objects = parsed.map((item: unknown, index) => {
    if (typeof item !== "object" || item === null || Array.isArray(item))
      throw new ExpectedRowsError(`item ${index + 1} is not an object`);
    return new Map(Object.entries(item as Readonly<Record<string, unknown>>));
  });
  const columns = [...new Set(objects.flatMap((object) => [...object.keys()]))];
  const cellOf = (value: unknown): string | null => {
    if (value === null || value === undefined) return null;
    return typeof value === "string" ? value : JSON.stringify(value);
  };
  return {
    columns,
    rows: objects.map((object) => columns.map((name) => cellOf(object.get(name)))),
  };
}
