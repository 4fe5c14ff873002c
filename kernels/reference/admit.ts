// Plain twin of assembly/admit: the verdicts of one stream by a Map and bigint arithmetic, one event at a time.
import { VERDICT_ACCEPTED, VERDICT_DUPLICATE, VERDICT_FUTURE, VERDICT_PAST } from "../abi.ts";

const I64_MIN = -(2n ** 63n);
const I64_MAX = 2n ** 63n - 1n;

function clamp(us: bigint): bigint {
  if (us < I64_MIN) return I64_MIN;
  return us > I64_MAX ? I64_MAX : us;
}

/** Settings in µs; null = not configured. */
export interface AdmitSettings {
  readonly dedupTtlUs: number | null;
  readonly outOfOrdernessUs: number;
  readonly maxFutureUs: number | null;
  readonly maxPastUs: number | null;
}

/** One stream's admission. Ids are any text; received_at and event times in µs. */
export class ReferenceAdmission {
  /** id -> received_at of the accepted event. */
  readonly accepted = new Map<string, number>();
  newest: bigint | null = null;
  /** Of the events that move the watermark. */
  #highest: bigint | null = null;
  readonly #settings: AdmitSettings;

  constructor(settings: AdmitSettings) {
    this.#settings = settings;
  }

  get watermark(): bigint | null {
    if (this.#highest === null) return null;
    return clamp(this.#highest - BigInt(this.#settings.outOfOrdernessUs));
  }

  /** Ids whose event was accepted less than the TTL before. */
  live(receivedAtUs: number): number {
    const ttl = this.#settings.dedupTtlUs ?? 0;
    return [...this.accepted.values()].filter((at) => receivedAtUs - at < ttl).length;
  }

  /** Decides on one event; `moves`: it moves the watermark if it is accepted. */
  admit(
    {
      id,
      time,
      moves = true,
    }: { readonly id: string | null; readonly time: bigint; readonly moves?: boolean },
    receivedAtUs: number,
  ): { readonly verdict: number; readonly behind: bigint } {
    const { dedupTtlUs, maxFutureUs, maxPastUs } = this.#settings;
    if (id !== null && dedupTtlUs !== null) {
      const first = this.accepted.get(id);
      if (first !== undefined && receivedAtUs - first < dedupTtlUs)
        return { verdict: VERDICT_DUPLICATE, behind: 0n };
    }
    const received = BigInt(receivedAtUs);
    if (maxFutureUs !== null && time > received + BigInt(maxFutureUs))
      return { verdict: VERDICT_FUTURE, behind: 0n };
    if (maxPastUs !== null && this.newest !== null && time < this.newest - BigInt(maxPastUs))
      return { verdict: VERDICT_PAST, behind: 0n };
    if (id !== null && dedupTtlUs !== null) this.accepted.set(id, receivedAtUs);
    const watermark = this.watermark;
    const behind = watermark !== null && time < watermark ? clamp(watermark - time) : 0n;
    const clamped = time < received ? time : received;
    if (this.newest === null || clamped > this.newest) this.newest = clamped;
    if (moves && (this.#highest === null || clamped > this.#highest)) this.#highest = clamped;
    return { verdict: VERDICT_ACCEPTED, behind };
  }
}
