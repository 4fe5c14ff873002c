// Noun: the requests of a server: how many are in work, and counts and times of those that were answered.
import type { Clock } from "../base/clock.ts";
import type { Counter, Histogram, Labels, MetricRegistry } from "./metrics.ts";

/** Requests in work, and counts and times of those that were answered. */
export class Requests {
  readonly #clock: Clock;
  readonly #count: (labels: Labels) => Counter;
  readonly #ingestOk: Counter;
  readonly #seconds: Histogram;
  working = 0;

  constructor(metrics: MetricRegistry, clock: Clock) {
    this.#clock = clock;
    this.#count = metrics.counters("millrace_http_requests_total", "Requests by route and status.");
    this.#ingestOk = this.#count({ route: "events", status: "200" });
    this.#seconds = metrics.histogram(
      "millrace_ingest_seconds",
      "Seconds from request to answer of /v1/events.",
    );
  }

  /** A request comes in: gives when, for `ended`. */
  began(): number {
    this.working++;
    return this.#clock.monotonicUs();
  }

  endedEvents(status: number, beganUs: number): void {
    this.working--;
    this.#seconds.observe((this.#clock.monotonicUs() - beganUs) / 1_000_000);
    if (status === 200) this.#ingestOk.add(1);
    else this.#count({ route: "events", status: String(status) }).add(1);
  }

  /** One that was refused before it was read. */
  refused(status: number): void {
    this.#count({ route: "others", status: String(status) }).add(1);
  }

  endedOther(status: number): void {
    this.working--;
    this.refused(status);
  }
}
