// Pure: the windows of a view as intervals of time. A hop's windows start every slide; its panes are the longest intervals that each of
// its windows is made of whole. Times are µs; ends are exclusive.
import type { HopWindow, TumbleWindow } from "../view/plan.ts";

export interface Range {
  readonly startUs: bigint;
  readonly endUs: bigint;
}

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

function cut(timeUs: bigint): bigint {
  if (timeUs > INT64_MAX) return INT64_MAX;
  return timeUs < INT64_MIN ? INT64_MIN : timeUs;
}

function divisor(a: bigint, b: bigint): bigint {
  return b === 0n ? a : divisor(b, a % b);
}

/** The highest `offset + n * step` that is not above `timeUs`. */
function below(timeUs: bigint, step: bigint, offset: bigint): bigint {
  const rest = (timeUs - offset) % step;
  return timeUs - (rest < 0n ? rest + step : rest);
}

/** Starts, ends and panes of windows of one size. */
export class Grid {
  readonly slideUs: bigint;
  readonly sizeUs: bigint;
  readonly offsetUs: bigint;
  readonly paneUs: bigint;

  constructor(window: TumbleWindow | HopWindow) {
    this.sizeUs = BigInt(window.sizeUs);
    this.slideUs = window.kind === "hop" ? BigInt(window.slideUs) : this.sizeUs;
    this.offsetUs = BigInt(window.offsetUs);
    this.paneUs = divisor(this.slideUs, this.sizeUs);
  }

  /** End of the first window that ends after a time. */
  endAfter(timeUs: bigint): bigint {
    return below(timeUs, this.slideUs, this.offsetUs + this.sizeUs) + this.slideUs;
  }

  /** Start of the last window that starts at or before a time. */
  lastStart(timeUs: bigint): bigint {
    return below(timeUs, this.slideUs, this.offsetUs);
  }

  /** From the start of the first window of a time that ends at or before the watermark to the end of the last one: it is late for these. */
  lateRange(timeUs: bigint, watermarkUs: bigint): Range {
    const first = this.endAfter(timeUs);
    const last = below(watermarkUs, this.slideUs, this.offsetUs + this.sizeUs);
    const highest = this.lastStart(timeUs) + this.sizeUs;
    return {
      startUs: cut(first - this.sizeUs),
      endUs: cut(last < highest ? last : highest),
    };
  }
}
