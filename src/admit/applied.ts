// The configuration that the data in a folder was made with, and what a new one changes. It is a control record in the log, so that
// every reader knows from the log alone where a view begins. Pure: facts in, a decision out.
import type { EventSchema } from "../event/schema.ts";
import type { ControlKind } from "../log/record.ts";
import { streamDifferences } from "./stream-difference.ts";

/** A stream or view as it was applied. Hashes are of the normalised schema and plan: comments and spacing do not count. */
export interface AppliedConfiguration {
  readonly version: 1;
  readonly streams: Readonly<
    Record<string, { readonly schemaId: number; readonly schemaHash: string }>
  >;
  /** `since`: the view counts events after this log position. */
  readonly views: Readonly<Record<string, { readonly planHash: string; readonly since: number }>>;
  /** Plan hashes of views that were removed: their tables are there, so their names keep their meaning. */
  readonly formerViews: Readonly<Record<string, string>>;
  /** The whole configuration as text, normalised. */
  readonly text: string;
}

/** The configuration that is asked for. */
export interface WantedConfiguration {
  readonly streams: readonly {
    readonly name: string;
    readonly schema: EventSchema;
    readonly schemaHash: string;
  }[];
  /** `isCorrected`: late events correct windows that it has put out. */
  readonly views: readonly {
    readonly name: string;
    readonly planHash: string;
    readonly isCorrected?: boolean;
  }[];
  readonly text: string;
}

/** A control record still without its position. */
export interface ControlDraft {
  readonly control: ControlKind;
  readonly stream: string | null;
  readonly body: string;
}

export type ConfigurationChange =
  | { readonly kind: "refused"; readonly reasons: readonly string[] }
  | { readonly kind: "unchanged"; readonly applied: AppliedConfiguration }
  | {
      readonly kind: "changed";
      readonly applied: AppliedConfiguration;
      /** To be appended in this order, the first at `lastPosition + 1`. */
      readonly controls: readonly ControlDraft[];
      /** For the operator: which views begin where, which tables are kept. */
      readonly notices: readonly string[];
    };

/** Decides what a wanted configuration does to existing data. `before` is null for an empty folder; `lastPosition`: where the log ends. */
export function configurationChange(
  before: AppliedConfiguration | null,
  wanted: WantedConfiguration,
  lastPosition: number,
): ConfigurationChange {
  const reasons = before === null ? [] : refusals(before, wanted);
  if (reasons.length > 0) return { kind: "refused", reasons };
  const newStreams = wanted.streams.filter(({ name }) => before?.streams[name] === undefined);
  // The configuration record comes last, so that the schemas that it names are in the log before it.
  const since = lastPosition + newStreams.length + 1;
  const applied: AppliedConfiguration = {
    version: 1,
    streams: {
      ...before?.streams,
      ...Object.fromEntries(
        wanted.streams.map(({ name, schema, schemaHash }) => [
          name,
          { schemaId: schema.id, schemaHash },
        ]),
      ),
    },
    views: Object.fromEntries(
      wanted.views.map(({ name, planHash }) => [name, before?.views[name] ?? { planHash, since }]),
    ),
    formerViews: formerViews(before, wanted),
    text: wanted.text,
  };
  if (before !== null && JSON.stringify(before) === JSON.stringify(applied))
    return { kind: "unchanged", applied: before };
  const controls: ControlDraft[] = [
    ...newStreams.map(({ name, schema }) => ({
      control: "schema" as const,
      stream: name,
      body: JSON.stringify(schema),
    })),
    { control: "configuration", stream: null, body: JSON.stringify(applied) },
  ];
  return {
    kind: "changed",
    applied,
    controls,
    notices: before === null ? [] : notices(before, applied),
  };
}

/** Views of before that are gone, and those that were gone before and do not come back. */
function formerViews(
  before: AppliedConfiguration | null,
  wanted: WantedConfiguration,
): Record<string, string> {
  const known = Object.entries(before?.views ?? {}).map(([name, { planHash }]) => [name, planHash]);
  const all = [...Object.entries(before?.formerViews ?? {}), ...known];
  const names = new Set(wanted.views.map(({ name }) => name));
  return Object.fromEntries(all.filter(([name]) => !names.has(String(name))));
}

function refusals(before: AppliedConfiguration, wanted: WantedConfiguration): string[] {
  const reasons: string[] = [];
  for (const { name, schemaHash } of wanted.streams) {
    const known = before.streams[name];
    if (known === undefined || known.schemaHash === schemaHash) continue;
    const differences = streamDifferences(name, before.text, wanted.text).join("; ");
    const difference = differences || "its schema is not the one that its data was written with";
    reasons.push(
      `stream ${name}: ${difference}. Changing these in place is not in this release: write them as they were, give the stream another name, or start with an empty data folder`,
    );
  }
  for (const { name, planHash, isCorrected } of wanted.views) {
    const former = before.formerViews[name];
    const known = before.views[name]?.planHash ?? former;
    if (former === planHash && isCorrected === true)
      reasons.push(
        `view ${name} was removed and would come back: with late.policy: update late events would correct windows of before, of which nothing is kept but their rows. Give it another name (it begins at the end of the log)`,
      );
    if (known !== undefined && known !== planHash)
      reasons.push(
        `view ${name}: its SQL or its late policy means something else than when its rows were made; changing a view in place is not in this release. Give the changed view another name (it begins at the end of the log), or start with an empty data folder`,
      );
  }
  return reasons;
}

function notices(before: AppliedConfiguration, applied: AppliedConfiguration): string[] {
  const added = Object.entries(applied.views)
    .filter(([name]) => before.views[name] === undefined)
    .map(
      ([name, { since }]) => `view ${name} is new: it counts events after log position ${since}`,
    );
  const removed = Object.keys(before.views)
    .filter((name) => applied.views[name] === undefined)
    .map(
      (name) =>
        `view ${name} is no longer in the configuration: its table is kept, nothing is added to it`,
    );
  return [...added, ...removed];
}
