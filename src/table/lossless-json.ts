// JSON with whole numbers of any size: Iceberg's snapshot ids have 63 bits, which JSON.parse would round. Integers beyond 2^53 are
// bigint, all others number.

export type Json = null | boolean | number | bigint | string | readonly Json[] | JsonObject;

export interface JsonObject {
  readonly [member: string]: Json;
}

/** Source text access of the JSON proposal, which TypeScript's library does not know yet. */
interface JsonWithSource {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
  ): unknown;
  rawJSON(text: string): unknown;
}
const json = JSON as unknown as JsonWithSource;

/** Parses JSON text. Throws SyntaxError. */
export function parseJson(text: string): Json {
  return json.parse(text, (_key, value, context) => {
    if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
    const source = context.source ?? "";
    return /^-?\d+$/.test(source) ? BigInt(source) : value;
  }) as Json;
}

/** A value as plain text: strings as they are, absent ones empty, others as JSON. */
export function plainText(value: Json | undefined): string {
  if (value === undefined || value === null) return "";
  return typeof value === "string" ? value : printJson(value);
}

/** Prints JSON text, digit for digit. */
export function printJson(value: Json): string {
  return JSON.stringify(value, (_key, member: unknown) =>
    typeof member === "bigint" ? json.rawJSON(String(member)) : member,
  );
}
