// The plain twin of assembly/fold/session: the session rule of the design, event by event over plain lists, quadratic. Shares nothing with
// the kernels but the rule: what lies in a session is the caller's.

/** A session of one key. `events` in log order; `lateCount` of them came after it had been published. */
export interface ReferenceSession<E> {
  readonly key: string;
  readonly startUs: bigint;
  readonly lastUs: bigint;
  readonly events: readonly E[];
  readonly lateCount: number;
}

/** What became of an event: it is in a session, or late with the range of sessions that it would have touched. */
export type ReferenceVerdict =
  | { readonly kind: "applied" | "corrected" }
  | { readonly kind: "late"; readonly startUs: bigint; readonly endUs: bigint };

/** The sessions of a stream. A watermark of null has not begun. */
export class ReferenceSessions<E> {
  open: ReferenceSession<E>[] = [];
  /** Closed, and their range is kept. */
  kept: ReferenceSession<E>[] = [];
  /** Closed or removed, as they came. */
  readonly out: { readonly op: "append" | "delete"; readonly session: ReferenceSession<E> }[] = [];
  readonly #gapUs: bigint;
  readonly #allowedUs: bigint | null;
  readonly #isKeeping: boolean;
  #watermarkUs: bigint | null = null;

  /**
   * `allowedUs`: the late policy is `update` within it; null = late events change nothing. `isKeeping`: false = only verdicts are wanted, so
   * that sessions remember no events and `out` stays empty.
   */
  constructor(gapUs: bigint, allowedUs: bigint | null = null, isKeeping = true) {
    this.#gapUs = gapUs;
    this.#allowedUs = allowedUs;
    this.#isKeeping = isKeeping;
  }

  /** One event. The caller then says the watermark after it. */
  add(key: string, timeUs: bigint, event: E): ReferenceVerdict {
    const gapUs = this.#gapUs;
    const isNear = (s: ReferenceSession<E>): boolean =>
      s.key === key && timeUs >= s.startUs - gapUs && timeUs <= s.lastUs + gapUs;
    const kept = this.kept.filter(isNear);
    const open = this.open.filter(isNear);
    const isBehind = this.#watermarkUs !== null && this.#watermarkUs > timeUs + gapUs;
    const isHeld = open.some((s) => s.startUs <= timeUs);
    const isLate = kept.length > 0 || (isBehind && !isHeld);
    const corrects = kept.some((s) => this.#isCorrectable(s) && (s.startUs <= timeUs || !isBehind));
    if (isLate && !corrects) {
      const near = [...kept, ...open];
      const starts = near.length > 0 ? near.map((s) => s.startUs) : [timeUs];
      const ends = near.length > 0 ? near.map((s) => s.lastUs + gapUs) : [timeUs + gapUs];
      return { kind: "late", startUs: lowest(starts), endUs: -lowest(ends.map((end) => -end)) };
    }
    if (this.#isKeeping) for (const session of kept) this.out.push({ op: "delete", session });
    const parts = [...kept, ...open];
    this.kept = this.kept.filter((s) => !kept.includes(s));
    this.open = this.open.filter((s) => !open.includes(s));
    this.open.push({
      key,
      startUs: lowest([timeUs, ...parts.map((s) => s.startUs)]),
      lastUs: -lowest([-timeUs, ...parts.map((s) => -s.lastUs)]),
      events: this.#isKeeping ? [...parts.flatMap((s) => s.events), event] : [],
      lateCount: parts.reduce((sum, s) => sum + s.lateCount, isLate ? 1 : 0),
    });
    return { kind: isLate ? "corrected" : "applied" };
  }

  /**
   * Whether `update` may still change a closed session. (An event before its start must not be behind by more than the gap: it might
   * touch a session whose range is forgotten.)
   */
  #isCorrectable({ lastUs }: ReferenceSession<E>): boolean {
    if (this.#allowedUs === null || this.#watermarkUs === null) return false;
    return this.#watermarkUs < lastUs + this.#gapUs + this.#allowedUs;
  }

  /** The watermark has moved: sessions close, and ranges of closed ones are forgotten. */
  advance(watermarkUs: bigint): void {
    if (this.#watermarkUs !== null && watermarkUs < this.#watermarkUs) return;
    this.#watermarkUs = watermarkUs;
    const closing = this.open.filter((s) => watermarkUs > s.lastUs + this.#gapUs);
    if (this.#isKeeping) for (const session of closing) this.out.push({ op: "append", session });
    this.open = this.open.filter((s) => !closing.includes(s));
    this.kept = [...this.kept, ...closing].filter(
      (s) => watermarkUs <= s.lastUs + 2n * this.#gapUs,
    );
  }

  /** The last state of every row that was put out. */
  rows(): ReferenceSession<E>[] {
    const removed = new Set(
      this.out.flatMap(({ op, session }) => (op === "delete" ? [session] : [])),
    );
    return this.out.flatMap(({ op, session }) =>
      op === "append" && !removed.has(session) ? [session] : [],
    );
  }
}

function lowest(values: readonly bigint[]): bigint {
  return values.reduce((a, b) => (b < a ? b : a));
}
