// Main's side of shipping: the thread, its status for /health and /metrics, and its end. Wiring: what is shipped is src/ship's.
import type { Status } from "../serve/deps.ts";
import type { MetricRegistry } from "../serve/metrics.ts";
import type { ShipStatus } from "../ship/run.ts";
import type { Freezing } from "./freezer.ts";
import type { FromShip, ShipOrder, ToShip } from "./ship-messages.ts";

export interface ShippingWires {
  readonly url: string;
  readonly order: ShipOrder;
  readonly failpoint: string | null;
  readonly freezer: Freezing;
  readonly nowUs: () => number;
  /** A line for the operator. */
  readonly say: (line: string) => void;
}

const NOTHING_YET: Omit<ShipStatus, "completeAtUs"> = {
  position: 0,
  shipment: null,
  bytes: 0,
  shipments: 0,
  failures: 0,
  missedRecords: 0,
  problems: [],
  isRefused: false,
};

export class Shipping {
  readonly #wires: ShippingWires;
  readonly #worker: Worker;
  readonly #finished = Promise.withResolvers<void>();
  #status: ShipStatus;

  constructor(wires: ShippingWires) {
    this.#wires = wires;
    this.#status = { ...NOTHING_YET, completeAtUs: wires.nowUs() };
    this.#worker = new Worker(wires.url);
    this.#worker.onmessage = ({ data }: { data: FromShip }) => this.#on(data);
    this.#worker.addEventListener("error", ({ message }) => this.#died(message));
    const { order, failpoint } = wires;
    this.#send({ kind: "order", order, failpoint });
  }

  get status(): ShipStatus {
    return this.#status;
  }

  /** Seconds for which acknowledged events may have been on this disk alone: what would be lost with it now. `durable`: the last position. */
  lagS(durable: number): number {
    const { position, completeAtUs } = this.#status;
    return position >= durable ? 0 : (this.#wires.nowUs() - completeAtUs) / 1_000_000;
  }

  /** What fails here is told, and ingest is ready all the same; only a prefix that is another's is unhealthy: two copies of a job run. */
  health(status: Status): Status {
    const { problems, isRefused } = this.#status;
    return {
      ...status,
      healthy: status.healthy && !isRefused,
      problems: [...status.problems, ...problems],
    };
  }

  /** The process is about to stop: no shipment holds it up. */
  noMore(): void {
    this.#send({ kind: "no more" });
    this.#wires.freezer.letGo();
  }

  /** The log has ended: resolves when all of it is shipped, or after `waitMs`. */
  async close(waitMs: number): Promise<void> {
    this.#send({ kind: "finish" });
    const late = setTimeout(() => this.#finished.resolve(), waitMs);
    await this.#finished.promise;
    clearTimeout(late);
    this.#worker.terminate();
  }

  #send(message: ToShip): void {
    this.#worker.postMessage(message);
  }

  #on(message: FromShip): void {
    const { freezer, say } = this.#wires;
    switch (message.kind) {
      case "freeze":
        return void freezer.freeze().then(() => this.#send({ kind: "frozen" }));
      case "thaw":
        return freezer.thaw();
      case "let go":
        return freezer.letGo();
      case "status":
        this.#status = message.status;
        return undefined;
      case "notice":
        return say(message.text);
      case "finished":
        return this.#finished.resolve();
      case "failed":
        return this.#died(message.message);
    }
  }

  /** A broken invariant of its own ends shipping, not the process. */
  #died(message: string): void {
    const text = `nothing is shipped any more until the next start, because of a fault of Millrace's: ${message}`;
    this.#status = { ...this.#status, problems: [text], isRefused: true };
    this.#wires.say(text);
    this.#wires.freezer.letGo();
    this.#finished.resolve();
  }
}

/** Registers its metrics. `durable`: the last durable log position. */
export function registerShipMetrics(
  metrics: MetricRegistry,
  shipping: Shipping,
  durable: () => number,
): void {
  const status = (): ShipStatus => shipping.status;
  metrics.read(
    "millrace_ship_lag_seconds",
    "Age of the oldest acknowledged event that may be on this disk alone: what would be lost with it.",
    () => shipping.lagS(durable()),
  );
  metrics.read(
    "millrace_ship_position",
    "Log position up to which everything is in the store.",
    () => status().position,
  );
  metrics.read(
    "millrace_ship_shipment_position",
    "Log position of the newest shipment: a restore replays the log from there.",
    () => status().shipment?.position ?? 0,
  );
  for (const [name, help, read] of [
    ["bytes", "Bytes that were put into the store.", () => status().bytes],
    ["shipments", "Shipments that were made.", () => status().shipments],
    ["failures", "Tries that failed.", () => status().failures],
    [
      "missed_records",
      "Log records that were trimmed before they were shipped.",
      () => status().missedRecords,
    ],
  ] as const)
    metrics.read(`millrace_ship_${name}_total`, help, read, "counter");
}
