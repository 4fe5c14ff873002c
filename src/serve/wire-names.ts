// Verb (pure): members as the API names them, late_events_done, and as the code does, lateEventsDone; in objects and lists, however deep.

/** As the API has them. */
export function toWire(value: unknown): unknown {
  return renamed(value, (name) =>
    name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
  );
}

/** As the code has them. */
export function fromWire(value: unknown): unknown {
  return renamed(value, (name) =>
    name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()),
  );
}

function renamed(value: unknown, rename: (name: string) => string): unknown {
  if (Array.isArray(value)) return value.map((one) => renamed(one, rename));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [rename(name), renamed(member, rename)]),
  );
}
