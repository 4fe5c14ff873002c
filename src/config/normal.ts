// Verb: a configuration -> the text of its control record. The same meaning gives the same text, whatever the file looked like.
import type { Config } from "../config.ts";

/** JSON with members in order of their names. Values are what JSON can say; undefined members are left out. */
function sortedJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(sortedJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, member]) => `${JSON.stringify(name)}:${sortedJson(member)}`);
  return `{${members.join(",")}}`;
}

/**
 * The body of a configuration control record: the whole configuration, its schemas' text in place of their paths, and `hash`, the
 * SHA-256 (hex) of what decides results: streams, schemas and views. Settings (addresses, sizes, intervals) are in the body only.
 */
export function configurationRecord(
  config: Config,
  schemaTexts: ReadonlyMap<string, string>,
): { readonly body: string; readonly hash: string } {
  const streams = config.streams.map((stream) => {
    const { schema: _path, ...rest } = stream;
    const text = schemaTexts.get(stream.name);
    return { ...rest, schema: text === undefined ? null : (JSON.parse(text) as unknown) };
  });
  const byName = (a: { readonly name: string }, b: { readonly name: string }): number =>
    a.name < b.name ? -1 : 1;
  const deciding = {
    streams: streams.toSorted(byName),
    views: config.views.toSorted(byName),
  };
  const hash = new Bun.CryptoHasher("sha256").update(sortedJson(deciding)).digest("hex");
  return { body: sortedJson({ hash, ...deciding, settings: config.settings }), hash };
}
