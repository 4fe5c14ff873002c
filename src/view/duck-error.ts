// Verb: what DuckDB throws with `errors_as_json` set -> message and place.

export interface DuckFault {
  /** The first lines of the message, in one. */
  readonly message: string;
  /** Byte offset in the statement, or null. */
  readonly at: number | null;
}

/** Reads an error of a connection that has `SET errors_as_json = true`; other errors keep their message. */
export function duckError(error: unknown): DuckFault {
  const text = error instanceof Error ? error.message : String(error);
  if (!text.startsWith("{")) return { message: text, at: null };
  const fault = JSON.parse(text) as { exception_message?: string; position?: string };
  const message = (fault.exception_message ?? text).split("\n\tCandidate")[0] ?? "";
  const at = fault.position === undefined ? null : Number(fault.position);
  return { message: message.split("\n").join(" ").trim(), at };
}
