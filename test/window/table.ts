// What a table holds after a view's outputs, for tests: rows by their window and keys.
import { expect } from "bun:test";
import type { Cell } from "../../src/event/image.ts";
import type { ViewPlan } from "../../src/view/plan.ts";
import type { ViewOutput } from "../../src/window/output.ts";
import { outputRows } from "./drive.ts";

/** A row's window and keys: what tells it from others. */
function keyOf(plan: ViewPlan, row: readonly Cell[]): string {
  const cells = row.filter((_, index) => {
    const kind = plan.output[index]?.source.kind;
    return kind === "window_start" || kind === "window_end" || kind === "key";
  });
  return cells.map((cell) => `${typeof cell} ${String(cell)}`).join("\u0000");
}

/** What a table holds after the outputs: rows that are appended are new, those that are put out again replace one or are new, or go away. */
export class Table {
  readonly rows = new Map<string, Cell[]>();
  readonly #plan: ViewPlan;

  constructor(plan: ViewPlan) {
    this.#plan = plan;
  }

  append(images: readonly Uint8Array[]): void {
    for (const row of outputRows(this.#plan, images)) {
      const key = keyOf(this.#plan, row);
      expect(this.rows.has(key)).toBe(false);
      this.rows.set(key, row);
    }
  }

  upsert(images: readonly Uint8Array[]): void {
    for (const row of outputRows(this.#plan, images)) this.rows.set(keyOf(this.#plan, row), row);
  }

  /** Each of the rows was there. */
  delete(images: readonly Uint8Array[]): void {
    for (const row of outputRows(this.#plan, images))
      expect(this.rows.delete(keyOf(this.#plan, row))).toBe(true);
  }

  take(outputs: readonly Pick<ViewOutput, "kind" | "op" | "image">[]): void {
    for (const { kind, op, image } of outputs)
      if (kind === "rows" && op === undefined) this.append([image]);
      else if (kind === "rows" && op === "delete") this.delete([image]);
      else if (kind === "rows") this.upsert([image]);
  }

  /** What is out and not out yet, together: what a question sees. */
  with(changes: readonly Pick<ViewOutput, "op" | "image">[]): Table {
    const seen = new Table(this.#plan);
    for (const [key, row] of this.rows) seen.rows.set(key, row);
    seen.take(changes.map((change) => ({ kind: "rows", ...change })));
    return seen;
  }
}
