// What of a stream's definition is not as it was, said by the keys and fields that a user wrote. Reads configurations as their records have
// them (config/normal.ts). Only for the message: whether it may change is decided by hashes (applied.ts).

interface Field {
  readonly name: string;
  readonly doc?: unknown;
}

interface StreamText {
  readonly name: string;
  readonly eventTime?: string | null;
  readonly eventId?: string | null;
  readonly schema?: { readonly fields?: readonly Field[] } | null;
}

/** The stream in the text of a configuration; null when it is not there, or the text is not one. */
function streamIn(text: string, name: string): StreamText | null {
  try {
    const { streams } = JSON.parse(text) as { readonly streams?: readonly StreamText[] };
    return streams?.find((stream) => stream.name === name) ?? null;
  } catch {
    return null;
  }
}

/** Sentences about what changed between two configurations; empty when nothing can be told. */
export function streamDifferences(stream: string, before: string, wanted: string): string[] {
  const [was, is] = [streamIn(before, stream), streamIn(wanted, stream)];
  if (was === null || is === null) return [];
  const keys = [
    { key: "event_time", was: was.eventTime, is: is.eventTime },
    { key: "event_id", was: was.eventId, is: is.eventId },
  ];
  return [
    ...keys
      .filter((one) => (one.was ?? null) !== (one.is ?? null))
      .map(
        (one) => `streams.${stream}.${one.key} was ${given(one.was)}, now it is ${given(one.is)}`,
      ),
    ...fieldDifferences(was.schema?.fields ?? [], is.schema?.fields ?? []).map(
      (difference) => `streams.${stream}.schema: ${difference}`,
    ),
  ];
}

function given(value: string | null | undefined): string {
  return value ?? "not given";
}

function fieldDifferences(was: readonly Field[], is: readonly Field[]): string[] {
  const names = (fields: readonly Field[]): string[] => fields.map(({ name }) => name);
  const gone = names(was).filter((name) => !names(is).includes(name));
  const added = names(is).filter((name) => !names(was).includes(name));
  const changed = is.filter((field) => {
    const old = was.find(({ name }) => name === field.name);
    return old !== undefined && definition(old) !== definition(field);
  });
  const stayed = (fields: readonly string[]): string =>
    fields.filter((name) => !gone.includes(name) && !added.includes(name)).join();
  const isMoved = stayed(names(was)) !== stayed(names(is));
  return [
    ...gone.map((name) => `field ${name} is gone`),
    ...added.map((name) => `field ${name} is new`),
    ...names(changed).map((name) => `field ${name} has another type or default`),
    ...(isMoved ? ["its fields are in another order"] : []),
  ];
}

/** What decides a field's meaning. */
function definition(field: Field): string {
  const { doc: _, ...deciding } = field;
  return JSON.stringify(deciding);
}
