// Folds 10,000 windows and prints as JSON what of memory stayed: a process of its own, since resident memory is the whole process's.
import { WINDOW_US } from "./arbitrary.ts";
import { newWindows } from "./drive.ts";
import { ADDED, PLAN, recordOf, SCHEMA, users } from "./user-events.ts";

/** Bytes of state and of resident memory, after the 2,000th window and after the last. */
export interface FlatMemory {
  readonly closedRows: number;
  readonly stateBytes: readonly [early: number, last: number];
  readonly residentBytes: readonly [early: number, last: number];
}

const windows = newWindows();
windows.addView(PLAN, SCHEMA, ADDED);
const measured = (): [state: number, resident: number] => {
  Bun.gc(true);
  return [windows.stateBytes, process.memoryUsage.rss()];
};
let closedRows = 0;
let early: [number, number] = [0, 0];
for (let index = 0; index < 10_000; index++) {
  const outputs = windows.fold(recordOf(index + 1, users(index, 40, BigInt(index * WINDOW_US))));
  closedRows += outputs.reduce((sum, output) => sum + output.rowCount, 0);
  windows.covered("v", "rows", index + 1);
  if (index === 2000) early = measured();
}
const last = measured();
const result: FlatMemory = {
  closedRows,
  stateBytes: [early[0], last[0]],
  residentBytes: [early[1], last[1]],
};
console.log(JSON.stringify(result));
