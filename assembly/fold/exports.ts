// Export list of the `fold` module: every function that the host may call. Twins: kernels/reference/fold.ts (windows, groups, aggregates),
// expression.ts (programs), average.ts, hll.ts.
export { updateStates } from "./aggregate";
export {
  assignCorrections,
  correctedRows,
  countChange,
  listCorrected,
  markCorrected,
  markLate,
  selectClosed,
  setClosed,
  setShown,
  settleMarks,
  takeCorrected,
  windowsEndedBy,
} from "./correct";
export { assignWindows, beginMarks, selectMarks, setWindows, takeStale } from "./assign";
export { extract, extractText, listRows, textBytes } from "./extract";
export { findGroups } from "./find";
export { findNumbered, numberKeys } from "./key-set";
export { coupon } from "./hash";
export { setColumns, setShared } from "./load";
export { copyMarks, mergeGroups } from "./merge-groups";
export { initPages, pagesHighest, pagesRestored, pagesUsed, reachPage } from "./pages";
export { packGroups, rowTags, tagsOf, unpackGroups } from "./parts";
export { setPlace } from "./picked";
export { runProgram } from "./program";
export { maskRows, project, projectText, projectTextBytes, selectRows } from "./project";
export { listBlocks } from "./blocks";
export { closeSessions, createSessions, freeSessions, hideSessions, releaseSessions, setSessionLayout, turnTimers } from "./session";
export { assignSessions, beginSessions } from "./session-assign";
export {
  closableWindows,
  closeWindows,
  createRoot,
  createWindow,
  dropBefore,
  dropWindow,
  findWindow,
  freeRoot,
  freeWindow,
  nodesOf,
  position as windowsBefore,
  reachWindow,
  windowAt,
} from "./window";
