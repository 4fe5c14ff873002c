// Verb (pure): a question's tree -> texts that a relation's rows must have to count at all, so that batches without them are passed over.
// `WHERE event_id = 'a'` reads one batch of the log's tail instead of all. DuckDB still evaluates the whole WHERE on what is read.
import { columnNames, listOf, nodeOf, textOf, type Node } from "../view/tree.ts";
import type { QuestionParam } from "./wire.ts";

/** `column = text` holds for every row of the relation that the question counts. Names are in lower case. */
export interface Needle {
  readonly relation: string;
  readonly column: string;
  readonly text: string | { readonly parameter: string };
}

/** A needle whose text is known. */
export interface KnownNeedle {
  readonly column: string;
  readonly text: Buffer;
}

/** Needles of one SELECT, when it reads `relation` alone and unsampled: equalities that its WHERE joins by AND. */
export function needlesOfSelect(select: Node, relation: string): Needle[] {
  const table = nodeOf(select, "from_table");
  const condition = nodeOf(select, "where_clause");
  if (table === null || condition === null) return [];
  if (table.type !== "BASE_TABLE" || listOf(table, "column_name_alias").length > 0) return [];
  if (nodeOf(table, "sample") !== null || nodeOf(select, "sample") !== null) return [];
  return conjuncts(condition).flatMap((conjunct) => {
    const needle = needleOf(conjunct, relation);
    return needle === null ? [] : [needle];
  });
}

function conjuncts(condition: Node): readonly Node[] {
  if (condition.type !== "CONJUNCTION_AND") return [condition];
  return listOf(condition, "children").flatMap(conjuncts);
}

function needleOf(condition: Node, relation: string): Needle | null {
  const left = nodeOf(condition, "left");
  const right = nodeOf(condition, "right");
  if (condition.type !== "COMPARE_EQUAL" || left === null || right === null) return null;
  const [column, value] = left.type === "COLUMN_REF" ? [left, right] : [right, left];
  const [name, ...more] = column.type === "COLUMN_REF" ? columnNames(column) : [];
  const text = textOfValue(value);
  if (name === undefined || more.length > 0 || text === null) return null;
  return { relation, column: name.toLowerCase(), text };
}

function textOfValue(value: Node): Needle["text"] | null {
  if (value.type === "VALUE_PARAMETER") return { parameter: textOf(value, "identifier") };
  return constantText(value);
}

/** The text of a constant, or null when the node is another. */
export function constantText(node: Node): string | null {
  const constant = node.type === "VALUE_CONSTANT" ? nodeOf(node, "value") : null;
  const type = constant === null ? null : nodeOf(constant, "type");
  if (constant === null || type === null || textOf(type, "id") !== "VARCHAR") return null;
  const text = constant["value"];
  return typeof text === "string" ? text : null;
}

/** The needles of one relation with their parameters filled in; those whose value is no text are left out. */
export function knownNeedles(
  needles: readonly Needle[],
  relation: string,
  params: readonly QuestionParam[],
): KnownNeedle[] {
  return needles.flatMap((needle) => {
    if (needle.relation !== relation) return [];
    const { column, text } = needle;
    const value = typeof text === "string" ? text : params[Number(text.parameter) - 1];
    return typeof value === "string" ? [{ column, text: Buffer.from(value) }] : [];
  });
}
