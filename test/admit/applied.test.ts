import { expect, test } from "bun:test";
import {
  configurationChange,
  type AppliedConfiguration,
  type WantedConfiguration,
} from "../../src/admit/applied.ts";

const schema = { id: 1, columns: [], eventTime: 0, eventId: null };
const wanted: WantedConfiguration = {
  streams: [{ name: "clicks", schema, schemaHash: "s1" }],
  views: [{ name: "per_minute", planHash: "p1" }],
  text: "a",
};

const END = 90;

function applied(): AppliedConfiguration {
  const change = configurationChange(null, wanted, 0);
  if (change.kind !== "changed") throw new Error(change.kind);
  return change.applied;
}

test("a first start writes the schemas, then the configuration; views begin after it", () => {
  const change = configurationChange(null, wanted, 0);
  expect(change).toMatchObject({ kind: "changed", notices: [] });
  if (change.kind !== "changed") return;
  expect(change.controls.map(({ control }) => control)).toEqual(["schema", "configuration"]);
  expect(change.applied.views["per_minute"]).toEqual({ planHash: "p1", since: 2 });
});

test("the same configuration again changes nothing", () => {
  expect(configurationChange(applied(), wanted, END).kind).toBe("unchanged");
});

test("a new view begins at the end of the log and says so", () => {
  const more = { ...wanted, views: [...wanted.views, { name: "second", planHash: "p2" }] };
  const change = configurationChange(applied(), more, END);
  expect(change).toMatchObject({
    kind: "changed",
    notices: ["view second is new: it counts events after log position 91"],
  });
  if (change.kind !== "changed") return;
  expect(change.applied.views).toEqual({
    per_minute: { planHash: "p1", since: 2 },
    second: { planHash: "p2", since: 91 },
  });
});

test("a removed view keeps its table; a stream that is gone stays known", () => {
  const change = configurationChange(applied(), { ...wanted, views: [], streams: [] }, END);
  expect(change).toMatchObject({ kind: "changed" });
  if (change.kind !== "changed") return;
  expect(change.notices.join()).toContain("its table is kept");
  expect(change.applied.streams["clicks"]?.schemaHash).toBe("s1");
});

test("a changed view and a changed schema are refused together, with advice", () => {
  const changed: WantedConfiguration = {
    streams: [{ name: "clicks", schema, schemaHash: "s2" }],
    views: [{ name: "per_minute", planHash: "p9" }],
    text: "b",
  };
  const change = configurationChange(applied(), changed, END);
  expect(change.kind).toBe("refused");
  if (change.kind !== "refused") return;
  expect(change.reasons).toHaveLength(2);
  expect(change.reasons[1]).toContain("Give the changed view another name");
});

test("a view whose windows late events correct does not come back: it knows nothing of those that it has put out", () => {
  const views = [{ name: "per_minute", planHash: "p1", isCorrected: true }];
  const before = applied();
  expect(configurationChange(before, { ...wanted, views }, END).kind).toBe("unchanged");
  const without = configurationChange(before, { ...wanted, views: [] }, END);
  if (without.kind !== "changed") throw new Error(without.kind);
  const back = configurationChange(without.applied, { ...wanted, views }, END);
  expect(back).toEqual({
    kind: "refused",
    reasons: [expect.stringMatching(/^view per_minute was removed .* Give it another name/)],
  });
  expect(configurationChange(without.applied, wanted, END).kind).toBe("changed");
});

test("a view that was removed keeps the meaning of its name", () => {
  const removed = configurationChange(applied(), { ...wanted, views: [] }, END);
  if (removed.kind !== "changed") throw new Error(removed.kind);
  const other = { ...wanted, views: [{ name: "per_minute", planHash: "p9" }] };
  expect(configurationChange(removed.applied, other, END).kind).toBe("refused");
  const same = configurationChange(removed.applied, wanted, END);
  expect(same).toMatchObject({
    kind: "changed",
    applied: { views: { per_minute: { since: 91 } } },
  });
});

/** A configuration's text with one stream, as its record has it. */
function textOf(stream: Readonly<Record<string, unknown>>): string {
  const fields = [
    { name: "at", type: "long", doc: "when" },
    { name: "id", type: "string" },
  ];
  const clicks = { name: "clicks", eventTime: "at", eventId: "id", schema: { fields }, ...stream };
  return JSON.stringify({ streams: [{ name: "other" }, clicks], views: [] });
}

const [AT, ID] = [
  { name: "at", type: "long" },
  { name: "id", type: "string" },
];

test.each([
  [{ eventId: null }, "streams.clicks.event_id was id, now it is not given"],
  [{ eventTime: "received_at" }, "streams.clicks.event_time was at, now it is received_at"],
  [
    { schema: { fields: [AT, { name: "key", type: "string" }] }, eventId: "key" },
    "streams.clicks.event_id was id, now it is key; streams.clicks.schema: field id is gone; streams.clicks.schema: field key is new",
  ],
  [
    { schema: { fields: [AT, { ...ID, type: "long" }] } },
    "streams.clicks.schema: field id has another type or default",
  ],
  [{ schema: { fields: [ID, AT] } }, "streams.clicks.schema: its fields are in another order"],
  // nothing that can be told from the texts
  [{ schema: { fields: [AT, ID] } }, "its schema is not the one that its data was written with"],
])("a refused stream is told by the keys that changed: %j", (change, said) => {
  const before = { ...applied(), text: textOf({}) };
  const streams = [{ name: "clicks", schema, schemaHash: "s2" }];
  const refused = configurationChange(before, { ...wanted, streams, text: textOf(change) }, END);
  expect(refused.kind === "refused" && refused.reasons[0]).toStartWith(
    `stream clicks: ${said}. Changing these in place is not in this release`,
  );
});
