// Functions whose single call can run for seconds or take gigabytes, where an interrupt does not reach: macros of the same name that check
// their arguments first. Owns the bounds; that a question cannot call the originals (by schema) is guard.ts's.
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
