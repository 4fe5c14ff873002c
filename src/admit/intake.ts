// The step from bodies to one record: decode, admit, gather. Owns the arithmetic of answers (accepted + duplicates + rejected = sent).
// Synchronous; reads no clock. Does not write the log: what it returns is acknowledged by the caller once it is durable.
import { VERDICT_ACCEPTED, VERDICT_DUPLICATE, VERDICT_FUTURE } from "../../kernels/abi.ts";
import type { Decoder, DecodeCursor, DecodedBody } from "../event/decode.ts";
import { listedErrors, type Reject } from "../event/reject.ts";
import { assert } from "../base/assert.ts";
import { RECORD_BODY_BYTES } from "../limits.ts";
import type { Admission, AdmissionFull, Admitted } from "./admission.ts";
import type { HashKey } from "./checkpoint.ts";

/** A request's body in the decode memory. */
export interface Body {
  readonly request: number;
  readonly address: number;
  readonly bytes: number;
  readonly format: "json" | "ndjson";
}

/** An error as the answer lists it: a reject without its raw bytes. */
export type AnswerError = Omit<Reject, "raw">;

/** What became of (a part of) one request. True once the record is durable. */
export interface Outcome {
  readonly request: number;
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: number;
  /** ANSWER_ERRORS_MAX of them at most (`listedErrors`). */
  readonly errors: readonly AnswerError[];
  /** False while the rest of the body goes into a later record. */
  readonly done: boolean;
}

/** A condition over events: a byte for each row of a batch image, 1 = it is true. */
interface RowCondition {
  rows(image: Uint8Array, receivedAtUs: number): Uint8Array;
}

/** One record's content, its image at the target address, and the outcomes of the bodies in it. */
export interface Intaken {
  readonly full: false;
  readonly rowCount: number;
  readonly duplicateCount: number;
  readonly rejects: readonly Reject[];
  readonly storedBytes: number;
  readonly outcomes: readonly Outcome[];
  /** How many of the offered bodies are used up; the next one, if `cursor` is not null, goes on from there. */
  readonly used: number;
  readonly cursor: DecodeCursor | null;
}

/** The id table is full: nothing was taken; `used` bodies (all that were looked at) are to be refused. */
export interface IntakeFull {
  readonly full: true;
  readonly reason: AdmissionFull["reason"];
  readonly used: number;
}

export class Intake {
  readonly #decoder: Decoder;
  readonly #admission: Admission;

  readonly #key: HashKey;

  /** `key`: what ids are hashed with. */
  constructor(decoder: Decoder, admission: Admission, key: HashKey) {
    this.#decoder = decoder;
    this.#admission = admission;
    this.#key = key;
  }

  /**
   * Takes as many of `bodies` (all of one stream, at least one) as make one record. `cursor` belongs to the first body. The image is
   * written to `target` in the decode memory.
   */
  step(
    stream: string,
    bodies: readonly Body[],
    at: {
      readonly receivedAtUs: number;
      /** The source partition of all of them. */
      readonly partition: string;
      /** Which events move the watermark; null: all do. */
      readonly condition: RowCondition | null;
      readonly target: number;
      readonly cursor: DecodeCursor | null;
    },
  ): Intaken | IntakeFull {
    const decoded: DecodedBody[] = [];
    this.#decoder.begin(stream);
    let cursor = at.cursor;
    let bytes = 0;
    for (const body of bodies) {
      if (bytes > RECORD_BODY_BYTES) break;
      const part = this.#decoder.add(body, cursor);
      decoded.push(part);
      cursor = part.cursor;
      if (cursor !== null) break;
      bytes += body.bytes;
    }
    // Admission needs to know before there is a record: the condition is looked at in an image of all rows.
    const marks = at.condition?.rows(this.#decoder.preview(at.target), at.receivedAtUs);
    const rows = this.#decoder.forAdmission(this.#key, at.receivedAtUs);
    const batch = marks === undefined ? rows : { ...rows, marks };
    const admitted = this.#admission.admit(stream, batch, at);
    if (admitted.full) return { full: true, reason: admitted.reason, used: decoded.length };
    const sealed = this.#decoder.seal(admitted.verdicts, admitted.behind, at.target);
    const rejects: Reject[] = [];
    const outcomes = decoded.map((part, ordinal) =>
      this.#outcome(bodies[ordinal]?.request ?? 0, part, { admitted, rejects }),
    );
    const sent = decoded.reduce(
      (sum, { rowCount, rejects: bad }) => sum + rowCount + bad.length,
      0,
    );
    assert(
      sent === sealed.rowCount + admitted.duplicates + rejects.length,
      "sent = accepted + duplicates + rejected",
    );
    return {
      full: false,
      rowCount: sealed.rowCount,
      duplicateCount: admitted.duplicates,
      rejects,
      storedBytes: sealed.storedBytes,
      outcomes,
      used: cursor === null ? decoded.length : decoded.length - 1,
      cursor,
    };
  }

  #outcome(
    request: number,
    part: DecodedBody,
    batch: { readonly admitted: Admitted; readonly rejects: Reject[] },
  ): Outcome {
    const { admitted, rejects } = batch;
    const own: Reject[] = [...part.rejects];
    let accepted = part.rowCount;
    let duplicates = 0;
    if (admitted.accepted < admitted.verdicts.length) {
      for (let row = part.firstRow; row < part.firstRow + part.rowCount; row++) {
        const verdict = admitted.verdicts[row];
        if (verdict === VERDICT_ACCEPTED) continue;
        accepted--;
        if (verdict === VERDICT_DUPLICATE) duplicates++;
        else own.push(this.#timeReject(row, verdict === VERDICT_FUTURE));
      }
    }
    for (const reject of own) rejects.push(reject);
    own.sort((a, b) => a.index - b.index);
    return {
      request,
      accepted,
      duplicates,
      rejected: own.length,
      errors: listedErrors(own).map(({ index, reason, field, message }) => ({
        index,
        reason,
        field,
        message,
      })),
      done: part.cursor === null,
    };
  }

  #timeReject(row: number, future: boolean): Reject {
    return {
      index: this.#decoder.eventIndexOf(row),
      reason: future ? "too_far_in_future" : "too_far_in_past",
      field: this.#decoder.eventTimeName(),
      message: future
        ? "the event time is later than received_at + max_future"
        : "the event time is older than the newest event seen - max_past",
      raw: this.#decoder.rawOf(row),
    };
  }
}
