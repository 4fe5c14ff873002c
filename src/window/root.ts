// Codec: the root body of a checkpoint of views, JSON text. Beside it lie pages (kernels/abi.ts) and pending outputs.
import { FOLD_LAYOUT_VERSION, FOLD_LAYOUT_VERSION_LEAST } from "../../kernels/abi.ts";
import { assert } from "../base/assert.ts";
import type { ViewPlan } from "../view/plan.ts";
import type { ViewState } from "./fold.ts";
import type { ViewOutput } from "./output.ts";
import type { SavedRange } from "./reconciled.ts";

/** Outputs of one kind of a view that the ledger holds, up to a position. */
export interface CoveredOutput {
  readonly view: string;
  readonly kind: ViewOutput["kind"];
  readonly position: number;
}

export interface SavedView {
  readonly plan: ViewPlan;
  readonly state: ViewState;
  /** Pages that it had taken. */
  readonly pages: number;
}

export interface SavedRoot {
  readonly views: readonly SavedView[];
  readonly covered: readonly CoveredOutput[];
  readonly reconciled: readonly SavedRange[];
}

/** Text of a plan for comparison: members in the order of their names, without the SQL, whose comments and spacing mean nothing. */
export function planText(plan: ViewPlan): string {
  const ordered = (_: string, value: unknown): unknown => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  };
  return JSON.stringify({ ...plan, sql: undefined }, ordered);
}

export function encodeRoot(root: SavedRoot): Uint8Array {
  const views = root.views.map(({ plan, state, pages }) => ({
    plan,
    pages,
    state: { ...state, watermarkUs: state.watermarkUs?.toString() ?? null },
  }));
  const { covered, reconciled } = root;
  const body = { layout: FOLD_LAYOUT_VERSION, views, covered, reconciled };
  return new TextEncoder().encode(JSON.stringify(body));
}

interface RootBody {
  readonly layout: number;
  readonly views: readonly {
    readonly plan: ViewPlan;
    readonly pages: number;
    readonly state: Omit<ViewState, "watermarkUs"> & { readonly watermarkUs: string | null };
  }[];
  readonly covered: readonly CoveredOutput[];
  /** Absent in checkpoints of before there was reconcile. */
  readonly reconciled?: readonly SavedRange[];
}

/** Throws when the body is of a layout version that is not read. The checkpoint's checksum has been checked before. */
export function decodeRoot(bytes: Uint8Array): SavedRoot {
  const body = JSON.parse(new TextDecoder().decode(bytes)) as RootBody;
  const isRead = body.layout >= FOLD_LAYOUT_VERSION_LEAST && body.layout <= FOLD_LAYOUT_VERSION;
  assert(isRead, `views' state has layout ${body.layout}`);
  const views = body.views.map(({ plan, state, pages }) => ({
    plan,
    pages,
    state: { ...state, watermarkUs: state.watermarkUs === null ? null : BigInt(state.watermarkUs) },
  }));
  return { views, covered: body.covered, reconciled: body.reconciled ?? [] };
}
