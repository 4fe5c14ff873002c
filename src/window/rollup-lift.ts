// Verb: late events that corrected closed windows -> the rollups that have merged these.
import { WORK_SELECTED_AT, WORK_WINDOWS_AT } from "../../kernels/abi.ts";
import type { CompiledView } from "./compile.ts";
import type { Upper } from "./fold.ts";
import type { FoldMemory } from "./memory.ts";

/** Folds those of the `selected` events whose windows are closed into the rollups above. */
export function correctAbove(
  { call, u32 }: FoldMemory,
  uppers: readonly Upper[],
  { compiled, selected }: { readonly compiled: CompiledView; readonly selected: number },
): void {
  if (uppers.length === 0) return;
  const count = call.selectClosed(selected);
  if (count === 0) return;
  const [rowsAt, windowsAt] = [WORK_SELECTED_AT / 4, WORK_WINDOWS_AT / 4];
  const rows = u32.slice(rowsAt, rowsAt + count);
  const windows = u32.slice(windowsAt, windowsAt + count);
  for (const upper of uppers) {
    u32.set(rows, rowsAt);
    u32.set(windows, windowsAt);
    upper.correct(compiled, count);
  }
}
