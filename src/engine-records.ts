// Nouns: what the engine's step from bodies to a record takes and gives.
import type { AdmissionFull } from "./admit/admission.ts";
import type { Outcome } from "./admit/intake.ts";
import type { DecodeCursor } from "./event/decode.ts";
import type { EventsRecord } from "./log/record.ts";

/** Where bodies come from. */
export interface Source {
  readonly stream: string;
  readonly partition: string;
}

/** An admitted record before it is durable. Its image lies in the decode memory at `address` until `foldSealed` or `release` gives it back. */
export interface SealedRecord extends Omit<EventsRecord, "kind" | "image"> {
  readonly address: number;
  readonly storedBytes: number;
}

export type Taken =
  | {
      readonly kind: "taken";
      /** Null when the bodies held no event at all. */
      readonly sealed: SealedRecord | null;
      readonly outcomes: readonly Outcome[];
      readonly used: number;
      readonly cursor: DecodeCursor | null;
    }
  /** Nothing was taken of the first `used` bodies: refuse them. */
  | {
      readonly kind: "full";
      readonly reason: AdmissionFull["reason"];
      readonly used: number;
      readonly cursor: null;
    };
