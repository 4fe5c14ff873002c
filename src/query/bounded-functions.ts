// Functions whose single call can run for seconds or take gigabytes, where an interrupt does not reach: macros of the same name that check
// their arguments first; for those that no macro can stand in for (any number of arguments, constant ones), a look at the constant that says
// how long the result gets. Owns the bounds; that a question cannot call the originals (by schema) is guard.ts's. Calls that no bound covers (a list function with a long
// function inside, LIKE with many wildcards, map_concat) end with the process.
import { QUERY_CALL_LENGTH_MAX, QUERY_CALL_PRODUCT_MAX } from "../limits.ts";

/** Parameters of an overload, and when a call is refused. */
type Overload = readonly [parameters: string, refusedWhen: string];

/** Length of a value of any type as text. */
function lengthOf(name: string): string {
  return `length(CAST(${name} AS VARCHAR))`;
}
const TOO_LONG = `> ${QUERY_CALL_LENGTH_MAX}`;
const PRODUCT: Overload = [
  "a, b",
  `${lengthOf("a")} * ${lengthOf("b")} > ${QUERY_CALL_PRODUCT_MAX}`,
];
const RESIZE: readonly Overload[] = [
  ["a, b", `b ${TOO_LONG}`],
  ["a, b, c", `b ${TOO_LONG}`],
];

/** (b - a) / c for numbers, or for times and an interval. Through text, so that every overload binds. */
const number = (name: string): string => `TRY_CAST(CAST(${name} AS VARCHAR) AS DOUBLE)`;
const seconds = (name: string): string =>
  `epoch(TRY_CAST(CAST(${name} AS VARCHAR) AS TIMESTAMPTZ))`;
const STEPS = `coalesce(abs((${number("b")} - ${number("a")}) / ${number("c")}),
  abs((${seconds("b")} - ${seconds("a")}) / epoch(TRY_CAST(CAST(c AS VARCHAR) AS INTERVAL))), 0)`;
const RANGE: readonly Overload[] = [
  ["a", `a ${TOO_LONG}`],
  ["a, b", `b - a ${TOO_LONG}`],
  ["a, b, c", `${STEPS} ${TOO_LONG}`],
];

const BOUNDS: Readonly<Record<string, readonly Overload[]>> = {
  repeat: [["a, b", `b * greatest(${lengthOf("a")}, 1) ${TOO_LONG}`]],
  lpad: [["a, b, c", `b ${TOO_LONG}`]],
  rpad: [["a, b, c", `b ${TOO_LONG}`]],
  bitstring: [["a, b", `b ${TOO_LONG}`]],
  replace: [["a, b, c", `${lengthOf("a")} * ${lengthOf("c")} > ${QUERY_CALL_PRODUCT_MAX * 100}`]],
  list_resize: RESIZE,
  array_resize: RESIZE,
  range: RANGE,
  generate_series: RANGE,
  levenshtein: [PRODUCT],
  editdist3: [PRODUCT],
  damerau_levenshtein: [PRODUCT],
  jaro_similarity: [PRODUCT],
  jaro_winkler_similarity: [PRODUCT],
};

/** Names of the functions that macros stand in for. */
export const BOUNDED_FUNCTIONS: ReadonlySet<string> = new Set(Object.keys(BOUNDS));

/** Statements that install the macros in an instance. */
export const BOUNDED_MACROS: readonly string[] = Object.entries(BOUNDS).map(([name, overloads]) => {
  const bodies = overloads.map(
    ([parameters, refusedWhen]) =>
      `(${parameters}) AS (CASE WHEN ${refusedWhen} THEN error('${name}: the arguments ask for too much in one call') ELSE system.main.${name}(${parameters}) END)`,
  );
  return `CREATE MACRO ${name}${bodies.join(", ")}`;
});

/** A replacement goes in at each match: 1,000 characters in a text of 100,000 are 0.1 s. */
const REPLACEMENT_LENGTH_MAX = 1000;

/** Specifications of Python's format, braces within braces included, and of printf. */
const SPECIFICATIONS: Readonly<Record<string, RegExp>> = {
  format: /\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}/g,
  printf: /%[^a-zA-Z%]*/g,
};
const NONE = /$^/g;

/** Functions with an argument that says how long the result gets, and which of them. */
export const CONSTANT_ARGUMENTS: ReadonlyMap<string, number> = new Map([
  ["format", 0],
  ["printf", 0],
  ["regexp_replace", 2],
]);

/** Why a call of `name` with this argument is refused, or null. `text` is null when it is not known before the question runs. */
export function constantFault(name: string, text: string | null): string | null {
  if (text === null) {
    const which = name === "regexp_replace" ? "replacement" : "first argument";
    return `the ${which} of ${name} is a text, written in the question`;
  }
  // An opening brace or a percent sign written twice stands for itself.
  const specifications = text.replaceAll(/\{\{|%%/g, "").match(SPECIFICATIONS[name] ?? NONE) ?? [];
  if (specifications.some((each) => /\*|\{.*\{/s.test(each)))
    return `${name}: a width is written as a number, it is no argument`;
  const widths = specifications.flatMap((each) => each.match(/\d+/g) ?? []);
  const sum = widths.reduce((total, digits) => total + Number(digits), 0);
  const isTooMuch =
    name === "regexp_replace" ? text.length > REPLACEMENT_LENGTH_MAX : sum > QUERY_CALL_LENGTH_MAX;
  return isTooMuch ? `${name}: the arguments ask for too much in one call` : null;
}
