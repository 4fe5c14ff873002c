// Verb: a configuration file -> a configuration whose schemas and views are checked, or every fault in file, schemas and SQL at once.
// Both `serve` at its start and `millrace check` do this. Composes config/, event/ and view/; reads files through `CheckTools`.
import { basename, resolve } from "node:path";
import type { Config, StreamConfig, ViewConfig } from "../config.ts";
import { sortFaults } from "../config/fault.ts";
import type { Fault } from "../config/fault.ts";
import { loadConfig } from "../config/load.ts";
import type { LoadedConfig } from "../config/load.ts";
import { configurationRecord } from "../config/normal.ts";
import { checkShip } from "../config/ship.ts";
import type { EventSchema } from "../event/schema.ts";
import { reconcileRefusal } from "../reconcile/scope.ts";
import { checkConditions } from "./check-condition.ts";
import type { ViewPlan } from "../view/plan.ts";
import { rollupPlans } from "../view/rollup.ts";

/** What a check of a schema or a view finds: a problem, and what to write instead ("" when nothing fits). */
export interface Finding {
  readonly message: string;
  readonly advice: string;
}

/** A finding in a view's text: line and column from 1. */
export interface SqlFinding extends Finding {
  readonly line: number;
  readonly column: number;
}

export type SchemaResult =
  | { readonly kind: "schema"; readonly schema: EventSchema }
  | { readonly kind: "faults"; readonly faults: readonly Finding[] };

export type ViewResult =
  | { readonly kind: "plan"; readonly plan: ViewPlan }
  | { readonly kind: "faults"; readonly faults: readonly SqlFinding[] };

/** What a check needs from elsewhere; main passes event/avro.ts, view/parse.ts and the disk. */
export interface CheckTools {
  /** A file's text. Throws an OS error when it cannot be read. */
  readText(path: string): string;
  parseSchema(input: {
    readonly text: string;
    readonly eventTime: string;
    readonly eventId: string | null;
  }): SchemaResult;
  parseView(input: {
    readonly name: string;
    readonly sql: string;
    readonly streams: readonly { readonly name: string; readonly schema: EventSchema }[];
  }): Promise<ViewResult>;
}

/** Where the configuration is and what overrides it. */
export interface CheckInput {
  /** `--config`, else MILLRACE_CONFIG, else millrace.yaml. */
  readonly configFlag: string | undefined;
  readonly workingFolder: string;
  readonly flags: ReadonlyMap<string, string>;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface CheckedConfig {
  readonly kind: "checked";
  readonly config: Config;
  /** By stream: the schema, and the text that it was made from. */
  readonly schemas: ReadonlyMap<string, { readonly schema: EventSchema; readonly text: string }>;
  /** In the configuration's order. */
  readonly plans: readonly ViewPlan[];
  /** By stream with punctuated watermarks: a plan whose filter is the condition. */
  readonly conditions: ReadonlyMap<string, ViewPlan>;
  /** The control record's body, and the hash of what decides results. */
  readonly record: { readonly body: string; readonly hash: string };
}

export type CheckResult =
  | CheckedConfig
  | { readonly kind: "faults"; readonly faults: readonly Fault[] };

function why(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Checks everything. Rejects only for faults of Millrace itself. */
export async function checkConfig(input: CheckInput, tools: CheckTools): Promise<CheckResult> {
  const shown = input.configFlag ?? input.env["MILLRACE_CONFIG"] ?? "millrace.yaml";
  const path = resolve(input.workingFolder, shown);
  let text: string;
  try {
    text = tools.readText(path);
  } catch (error) {
    const place = { source: shown, line: null, column: null };
    const instead =
      "name the file with --config FILE; the example is examples/clickstream/millrace.yaml";
    return { kind: "faults", faults: [{ place, key: null, problem: why(error), instead }] };
  }
  const { workingFolder, flags, env } = input;
  const loaded = loadConfig({ text, path, shown, workingFolder, flags, env });
  const faults = [
    ...loaded.faults,
    ...checkShip(loaded.config.settings.ship, (key) => loaded.placeOf(key)),
  ];
  const schemas = checkSchemas(loaded, tools, faults);
  const conditions = await checkConditions(loaded, { schemas, tools }, faults);
  const plans = await checkViews(loaded, { schemas, tools }, faults);
  if (faults.length > 0) return { kind: "faults", faults: sortFaults(faults) };
  const texts = new Map([...schemas].map(([name, schema]) => [name, schema.text]));
  return {
    kind: "checked",
    config: loaded.config,
    schemas,
    plans,
    conditions,
    record: configurationRecord(loaded.config, texts),
  };
}

export type Schemas = CheckedConfig["schemas"];

function checkSchemas(loaded: LoadedConfig, tools: CheckTools, faults: Fault[]): Schemas {
  const schemas = new Map<string, { readonly schema: EventSchema; readonly text: string }>();
  for (const stream of loaded.config.streams) {
    const { name, schema: path, eventTime, eventId }: Partial<StreamConfig> = stream;
    if (typeof path !== "string" || typeof eventTime !== "string") continue;
    const key = `streams.${name}.schema`;
    const place = loaded.placeOf(key);
    let text: string;
    try {
      text = tools.readText(path);
    } catch (error) {
      const instead = "write the path of an .avsc file, relative to the configuration file";
      faults.push({ place, key, problem: why(error), instead });
      continue;
    }
    const result = tools.parseSchema({ text, eventTime, eventId });
    if (result.kind === "schema") schemas.set(name, { schema: result.schema, text });
    else
      for (const { message, advice } of result.faults) {
        const problem = `${basename(path)}: ${message}`;
        faults.push({ place, key, problem, instead: advice === "" ? null : advice });
      }
  }
  return schemas;
}

/** Views over streams whose schema is at fault wait for it: their faults would mislead. */
function isCheckable(
  view: ViewConfig,
  streams: readonly StreamConfig[],
  schemas: Schemas,
): boolean {
  const { sql }: Partial<ViewConfig> = view;
  if (typeof sql !== "string") return false;
  return !streams.some(
    ({ name }) => !schemas.has(name) && new RegExp(`\\b${name}\\b`, "i").test(sql),
  );
}

/** The plans of a view's rollups. Each is a view: its name must be free. */
function checkRollups(
  loaded: LoadedConfig,
  { view, plan }: { readonly view: ViewConfig; readonly plan: ViewPlan },
  faults: Fault[],
): readonly ViewPlan[] {
  const key = `views.${view.name}.rollups`;
  const tell = (problem: string, instead: string): readonly ViewPlan[] => {
    faults.push({ place: loaded.placeOf(key), key, problem, instead });
    return [];
  };
  const result = rollupPlans(plan, view.rollups ?? []);
  if (result.kind === "fault") return tell(result.message, result.advice);
  const names = [...loaded.config.views, ...loaded.config.streams].map(({ name }) => name);
  const taken = result.plans.find(({ name }) => names.includes(name));
  if (taken === undefined) return result.plans;
  return tell(`the rollup ${taken.name} has the name of another view or stream`, "rename that");
}

/** What becomes of late events is for views for which events can be late. */
function checkLatePolicy(
  loaded: LoadedConfig,
  { view, plan }: { readonly view: ViewConfig; readonly plan: ViewPlan },
  faults: Fault[],
): void {
  if (plan.window !== null || view.latePolicy === "side") return;
  const key = `views.${view.name}.late.policy`;
  const problem = `${view.name} has no windows: no event is late for it`;
  faults.push({ place: loaded.placeOf(key), key, problem, instead: "leave it out" });
}

/** `late.reconcile_every` is for views that can be reconciled, from raw events that are kept. */
function checkReconcile(
  loaded: LoadedConfig,
  { view, plan }: { readonly view: ViewConfig; readonly plan: ViewPlan },
  faults: Fault[],
): void {
  if ((view.lateReconcileEveryUs ?? null) === null) return;
  const key = `views.${view.name}.late.reconcile_every`;
  const problem = loaded.config.settings.export.raw
    ? reconcileRefusal(plan)
    : "with export.raw: off windows cannot be computed anew";
  if (problem === null) return;
  faults.push({ place: loaded.placeOf(key), key, problem, instead: "leave it out" });
}

async function checkViews(
  loaded: LoadedConfig,
  given: { readonly schemas: Schemas; readonly tools: CheckTools },
  faults: Fault[],
): Promise<ViewPlan[]> {
  const streams = [...given.schemas].map(([name, { schema }]) => ({ name, schema }));
  const plans: ViewPlan[] = [];
  for (const view of loaded.config.views) {
    if (!isCheckable(view, loaded.config.streams, given.schemas)) continue;
    const key = `views.${view.name}.sql`;
    const result = await given.tools.parseView({ name: view.name, sql: view.sql, streams });
    if (result.kind === "plan") {
      const late = { policy: view.latePolicy, allowedUs: view.lateAllowedUs ?? 0 };
      const plan = { ...result.plan, late };
      const levels = checkRollups(loaded, { view, plan }, faults);
      plans.push(plan, ...levels);
      checkLatePolicy(loaded, { view, plan }, faults);
      checkReconcile(loaded, { view, plan }, faults);
    } else
      for (const { line, column, message, advice } of result.faults) {
        const place = loaded.placeWithin(key, line, column);
        const problem = `line ${line}, column ${column} of the text: ${message}`;
        faults.push({ place, key, problem, instead: advice === "" ? null : advice });
      }
  }
  return plans;
}
