// Codec: the body of a control record with the outcomes of requests that have an Idempotency-Key, as they are after the events record before it, with
// which it is written in one transaction; or alone, when nothing but the end of a body was left. JSON; hashes as hex.
import type { KeptAnswer } from "../admit/kept-answers.ts";
import type { ControlRecord } from "./record.ts";

/** The record without its place in the log. All answers are of one stream. */
export function answersControl(
  stream: string,
  answers: readonly KeptAnswer[],
): { readonly control: "answers"; readonly stream: string; readonly body: string } {
  return { control: "answers", stream, body: JSON.stringify({ answers }) };
}

/** What a control record says of requests with keys; null for the other kinds. */
export function answersControlOf({ control, body }: ControlRecord): readonly KeptAnswer[] | null {
  if (control !== "answers") return null;
  // The record's checksum vouches for the shape: answersControl is the only writer.
  return (JSON.parse(body) as { readonly answers: readonly KeptAnswer[] }).answers;
}
