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
