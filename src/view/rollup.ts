// Verb: a view and the levels above it -> a plan for each level, which merges the states of the level below. Owns which windows fit into
// which, and the names.
import { ROLLUPS_MAX, VIEW_WINDOW_US_MAX } from "../limits.ts";
import type { CalendarDayWindow, TumbleWindow, ViewPlan } from "./plan.ts";
import { divisor } from "./window-function.ts";

/** A level as configured: windows of one size, or the calendar days of a time zone (`everyUs` is a day then). */
export interface RollupLevel {
  readonly everyUs: number;
  readonly timeZone: string | null;
}

export type RollupResult =
  /** From the finest level on: each reads the view or a level before it. */
  | { readonly kind: "plans"; readonly plans: readonly ViewPlan[] }
  | { readonly kind: "fault"; readonly message: string; readonly advice: string };

const DAY_US = 86_400_000_000;
const UNITS: readonly (readonly [string, number])[] = [
  ["d", DAY_US],
  ["h", 3_600_000_000],
  ["m", 60_000_000],
  ["s", 1_000_000],
  ["ms", 1_000],
  ["us", 1],
];

/** `1h`, `1d`: what is added to the view's name. */
export function levelName({ everyUs }: RollupLevel): string {
  const [unit, us] = UNITS.find(([, size]) => everyUs % size === 0) ?? ["us", 1];
  return `${everyUs / us}${unit}`;
}

/** A level's plan has the keys, aggregates, HAVING, top-N and late policy of the view. */
export function rollupPlans(view: ViewPlan, levels: readonly RollupLevel[]): RollupResult {
  if (levels.length === 0) return { kind: "plans", plans: [] };
  if (levels.length > ROLLUPS_MAX)
    return fault(`a view has ${ROLLUPS_MAX} rollups at most`, "leave some out");
  if (view.window?.kind !== "tumble")
    return fault("only views over tumble have rollups", "leave them out");
  const below: { readonly name: string; readonly window: TumbleWindow }[] = [
    { name: view.name, window: view.window },
  ];
  const plans: ViewPlan[] = [];
  for (const level of levels.toSorted((a, b) => a.everyUs - b.everyUs)) {
    const shown = levelName(level);
    const name = `${view.name}_${shown}`;
    if (plans.some((plan) => plan.name === name))
      return fault(`there are two rollups of ${shown}`, "leave one out");
    if (level.everyUs > VIEW_WINDOW_US_MAX)
      return fault(
        `windows of ${shown} are too long`,
        `write ${VIEW_WINDOW_US_MAX / DAY_US} days at most`,
      );
    if (level.timeZone !== null && !isTimeZone(level.timeZone))
      return fault(`there is no time zone "${level.timeZone}"`, "write for example Europe/Berlin");
    const lower = below.findLast(({ window }) => isWhole(level, window));
    if (lower === undefined) {
      const where = level.timeZone === null ? "" : ` in ${level.timeZone}`;
      return fault(
        `windows of ${shown}${where} do not consist of whole windows of ${view.name}`,
        adviceFor(level, view.window),
      );
    }
    const window: TumbleWindow | CalendarDayWindow =
      level.timeZone === null
        ? { kind: "tumble", sizeUs: level.everyUs, offsetUs: view.window.offsetUs }
        : { kind: "calendar_day", timeZone: level.timeZone };
    plans.push({ ...view, name, window, rollupOf: lower.name });
    if (window.kind === "tumble") below.push({ name, window });
  }
  return { kind: "plans", plans };
}

function fault(message: string, advice: string): RollupResult {
  return { kind: "fault", message, advice };
}

/** What to do where no level below has windows that a level consists of. */
function adviceFor({ everyUs, timeZone }: RollupLevel, lower: TumbleWindow): string {
  if (timeZone === null || everyUs % lower.sizeUs !== 0) return "choose a multiple of its size";
  if (lower.offsetUs !== 0) return "days of a time zone need a view without an offset";
  const fitsUs = offsetsOf(timeZone).reduce(divisor, DAY_US);
  return `the zone's days begin within windows of the view: make them ${levelName({ everyUs: fitsUs, timeZone: null })} long, or a part of that`;
}

function isTimeZone(timeZone: string): boolean {
  try {
    return new Intl.DateTimeFormat("en-US", { timeZone }).format(0) !== "";
  } catch {
    return false;
  }
}

/** Whether each window of a level consists of whole windows below it. */
function isWhole({ everyUs, timeZone }: RollupLevel, lower: TumbleWindow): boolean {
  if (everyUs <= lower.sizeUs || everyUs % lower.sizeUs !== 0) return false;
  if (timeZone === null) return true;
  return lower.offsetUs === 0 && offsetsOf(timeZone).every((us) => us % lower.sizeUs === 0);
}

const FIRST_YEAR = 1970;
const LAST_YEAR = 2100;

/** Offsets from UTC that a zone has had since 1970 or will have, as far as the runtime's table knows; looked up on every tenth day. */
function offsetsOf(timeZone: string): number[] {
  const format = new Intl.DateTimeFormat("en-US", { timeZone, timeZoneName: "longOffset" });
  const found = new Set<string>();
  const end = Date.UTC(LAST_YEAR, 0);
  for (let at = Date.UTC(FIRST_YEAR, 0); at < end; at += (10 * DAY_US) / 1000)
    found.add(format.formatToParts(at).find(({ type }) => type === "timeZoneName")?.value ?? "GMT");
  return [...found].map((text) => {
    const [, hours = "0", minutes = "0", seconds = "0"] = /(\d+):?(\d+)?:?(\d+)?/.exec(text) ?? [];
    return ((Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1_000_000;
  });
}
