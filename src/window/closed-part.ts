// Nouns: groups of closed windows (of a hop: of panes and marks) that late events may still correct, outside of memory. A window there is cut into parts by its groups' tags;
// a checkpoint holds them beside the pages.

/** A window whose groups are on disk, all or all but those of the parts that are in memory. */
export interface ClosedWindow {
  /** The list that it is in: the name of a view, or `marksOf` one. */
  readonly view: string;
  readonly startUs: bigint;
  readonly endUs: bigint;
  /** The highest bits of a group's tag that give its part: there are 2^bits. */
  readonly bits: number;
}

/** One part's groups (assembly/fold/parts.ts): it takes the place of what was saved of the part before. */
export interface ClosedPart extends ClosedWindow {
  readonly part: number;
  readonly bytes: Uint8Array;
}

/** Parts that nobody will ask for: of the windows of `view` that end at or before `endUs`; null: of all. */
export interface DroppedParts {
  readonly view: string;
  readonly endUs: bigint | null;
}

/** Where parts come back from. */
export interface ClosedParts {
  /** What the last checkpoint holds of a part; null: no group. Throws when it is damaged. */
  closedPart(view: string, startUs: bigint, part: number): Uint8Array | null;
}
