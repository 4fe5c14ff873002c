// Requests with an Idempotency-Key, in the engine: whether a body is carried out, goes on where an interrupted one stopped, or was answered before; and
// the control record that tells the outcome beside the events. Synchronous steps; what is kept is admit/kept-answers.ts.
import type { Body, Outcome } from "./admit/intake.ts";
import type { KeptAnswer } from "./admit/kept-answers.ts";
import type { Engine } from "./engine.ts";
import type { Taken } from "./engine-records.ts";
import type { DecodeCursor } from "./event/decode.ts";
import { listedErrors } from "./event/reject.ts";
import { answersControl } from "./log/answers-control.ts";
import type { ControlRecord } from "./log/record.ts";

/** A body whose outcome is kept. */
export interface Keyed {
  readonly key: string;
  readonly body: string;
  /** What is said of its beginning, once a record has that. */
  soFar: KeptAnswer | null;
}

export type KeyDecision =
  | { readonly kind: "go on"; readonly keyed: Keyed; readonly cursor: DecodeCursor | null }
  /** It was carried out before: this was said. */
  | { readonly kind: "answered"; readonly answer: KeptAnswer }
  /** Another body was sent under this key. */
  | { readonly kind: "another body" }
  /** No more keys can be kept. */
  | { readonly kind: "full"; readonly reason: "keys" | "checkpoint" };

/** Bytes of a hash that count. */
const HASH_BYTES = 16;

export class EngineKeys {
  readonly #engine: Engine;
  readonly #idKey: Uint8Array;

  /** `idKey`: of the data folder, so that nobody can choose keys that collide. */
  constructor(engine: Engine, idKey: Uint8Array) {
    this.#engine = engine;
    this.#idKey = idKey;
  }

  /** What to do with a body that lies in the decode memory. All earlier requests with its key have been taken whole, or were refused. */
  decide(
    stream: string,
    body: Omit<Body, "request"> & { readonly key: string },
    nowUs: number,
  ): KeyDecision {
    const { answers, decodeMemory, lastReceivedAtUs } = this.#engine;
    const key = this.#hash(body.key);
    const bytes = new Uint8Array(decodeMemory, body.address, body.bytes);
    const hash = this.#hash(`${body.format}\n`, bytes);
    const known = answers.find(stream, key, Math.max(lastReceivedAtUs, nowUs));
    if (known !== null && known.body !== hash) return { kind: "another body" };
    if (known !== null && known.cursor === null) {
      answers.replays++;
      return { kind: "answered", answer: known };
    }
    const { full } = answers;
    if (full !== null) return { kind: "full", reason: full };
    const keyed = { key, body: hash, soFar: known };
    return { kind: "go on", keyed, cursor: known?.cursor ?? null };
  }

  /**
   * What is kept of the bodies that were just taken: the control record for it, null when none has a key, and the outcomes to tell: those of bodies with
   * keys are sums over all of their records, told with the last.
   */
  record(
    stream: string,
    bodies: readonly { readonly keyed: Keyed | null }[],
    { taken, nowUs }: { readonly taken: Extract<Taken, { kind: "taken" }>; readonly nowUs: number },
  ): { readonly kept: ControlRecord | null; readonly outcomes: readonly Outcome[] } {
    const engine = this.#engine;
    if (bodies.every(({ keyed }) => keyed === null))
      return { kept: null, outcomes: taken.outcomes };
    const position = taken.sealed?.position ?? engine.lastPosition + 1;
    const answers: KeptAnswer[] = [];
    const outcomes = taken.outcomes.map((outcome, ordinal) => {
      const keyed = bodies[ordinal]?.keyed ?? null;
      if (keyed === null) return outcome;
      const cursor = outcome.done ? null : taken.cursor;
      const answer = { ...sumOf(keyed, outcome), position, cursor };
      if (answer.accepted + answer.duplicates + answer.rejected === 0) return outcome;
      keyed.soFar = answer;
      answers.push(answer);
      const { accepted, duplicates, rejected, errors } = outcome.done ? answer : NOTHING;
      return { ...outcome, accepted, duplicates, rejected, errors };
    });
    if (answers.length === 0) return { kept: null, outcomes };
    const kept = engine.control(answersControl(stream, answers), nowUs);
    engine.answers.keep(stream, kept.receivedAtUs, answers);
    return { kept, outcomes };
  }

  #hash(...parts: readonly (string | Uint8Array)[]): string {
    const hasher = new Bun.CryptoHasher("sha256", this.#idKey);
    for (const part of parts) hasher.update(part);
    return hasher.digest("hex").slice(0, 2 * HASH_BYTES);
  }
}

const NOTHING = { accepted: 0, duplicates: 0, rejected: 0, errors: [] } as const;

function sumOf(
  { key, body, soFar }: Keyed,
  { accepted, duplicates, rejected, errors }: Outcome,
): Omit<KeptAnswer, "position" | "cursor"> {
  const before = soFar ?? NOTHING;
  return {
    key,
    body,
    accepted: before.accepted + accepted,
    duplicates: before.duplicates + duplicates,
    rejected: before.rejected + rejected,
    errors: listedErrors([...before.errors, ...errors]),
  };
}
