// The schema of rows that a benchmark folds from memory.
import type { EventSchema, SqlType } from "../src/event/schema.ts";

/** Columns without NULLs, by name; the first is the event's time, and there is no id. */
export function plainSchema(columns: Readonly<Record<string, SqlType>>): EventSchema {
  return {
    id: 1,
    columns: Object.entries(columns).map(([name, type], index) => ({
      name,
      type,
      nullable: false,
      fieldId: index + 1,
      decoding: { kind: "plain" },
    })),
    eventTime: 0,
    eventId: null,
  };
}
