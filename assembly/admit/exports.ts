// Export list of the `admit` module: every function that the host may call. Signatures and meaning: kernels/admit.ts.
export { takeDelta } from "./delta";
export { buildTable, moveDirectory, pagesOfTable } from "./grow";
export { hashIds } from "./hashids";
export { freePages, grantPages } from "./pool";
export { beginParts, idsOfPart, partIds, restorePart } from "./restore";
export { sweepAll } from "./sweep";
export { admitRows, replayRows } from "./verdict";
