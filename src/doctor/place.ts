// Nouns: what every check is given.
import type { Files } from "../base/files.ts";

/** A data folder that the doctor has locked. */
export interface Place {
  /** Absolute, links resolved. */
  readonly folder: string;
  readonly jobId: string;
  readonly files: Files;
  /** Read every value of the tables and every sealed id. */
  readonly isDeep: boolean;
  /** Says how far a long step is. */
  readonly progress: (text: string) => void;
}
