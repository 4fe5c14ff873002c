// Verb: a SELECT over the stream itself, without a window -> output columns, each an expression over one event.
import type { Lowering } from "./lower.ts";
import { isNullable, readItems, readsColumn } from "./items.ts";
import type { OutputColumn } from "./plan.ts";
import type { SelectParts } from "./select.ts";
import { keywordAt, listOf, nodeOf, type Node } from "./tree.ts";
import { outputType } from "./typing.ts";

const ADVICE = "write FROM tumble(stream, event_time, INTERVAL 1 MINUTE)";

/** Lowers a projection; null after a fault. `text` is the view's, for places that the tree does not have. */
export function readProjection(lowering: Lowering, root: Node, text: string): SelectParts | null {
  const { faults } = lowering;
  const grouped =
    root["aggregate_handling"] === "FORCE_AGGREGATES" ||
    listOf(root, "group_expressions").length > 0;
  for (const [keyword, there] of [
    ["GROUP", grouped],
    ["HAVING", nodeOf(root, "having") !== null],
    ["QUALIFY", nodeOf(root, "qualify") !== null],
  ] as const)
    if (there)
      faults.add(keywordAt(text, keyword, "last"), `${keyword} needs a window here`, ADVICE);
  const items = readItems(lowering, root);
  const where = nodeOf(root, "where_clause");
  const filter = where && lowering.condition(where);
  if (items === null) return null;
  const output: OutputColumn[] = [];
  for (const { node, name, expr } of items) {
    if (expr === null) return faults.add(node, "an aggregate needs a window here", ADVICE);
    if (!readsColumn(expr))
      return faults.add(node, "a constant column is not in this release", "leave it out");
    output.push({
      name,
      type: outputType(expr.type),
      nullable: isNullable(lowering, expr),
      fieldId: output.length + 1,
      source: { kind: "expression", expr },
    });
  }
  if (faults.count > 0) return null;
  return { filter, keys: [], aggregates: [], output, having: null, topN: null };
}
