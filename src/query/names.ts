// Verb (pure): a question's text -> every name that it could read, without parsing it. Names of streams and views are plain words
// (config/load.ts), so one that the text reads stands in it, quoted or not; a word that means something else costs nothing but its pin.
import { SYSTEM_SCHEMA } from "./relations.ts";

/** In lower case, each once: "clicks", "millrace.readers". What the text really reads, guard.ts says. */
export function namesIn(sql: string): string[] {
  const words = new Set(sql.toLowerCase().match(/[a-z_][a-z0-9_]*/g) ?? []);
  const system = words.has(SYSTEM_SCHEMA)
    ? [...words].map((word) => `${SYSTEM_SCHEMA}.${word}`)
    : [];
  return [...words, ...system];
}
