// Counters, gauges and histograms in Prometheus' text format, version 0.0.4. Owns their values; knows no product nouns. Gauges are
// read at the scrape, so that nothing is kept up to date between scrapes.

/** Labels as a scrape prints them, in the order given. */
export type Labels = Readonly<Record<string, string>>;

/** A value that only grows. `add` is cheap: hot paths keep the counter, not its name. */
export class Counter {
  #value = 0;
  add(amount: number): void {
    this.#value += amount;
  }
  get value(): number {
    return this.#value;
  }
}

/** Observations counted into fixed upper bounds (`le`, inclusive), ascending. */
export class Histogram {
  readonly bounds: readonly number[];
  readonly counts: Float64Array;
  #sum = 0;
  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }
  observe(value: number): void {
    let slot = 0;
    while (slot < this.bounds.length && value > (this.bounds[slot] ?? Infinity)) slot++;
    this.counts[slot] = (this.counts[slot] ?? 0) + 1;
    this.#sum += value;
  }
  get sum(): number {
    return this.#sum;
  }
}

/** Seconds: from a tenth of a millisecond to ten seconds. */
export const LATENCY_BOUNDS_S: readonly number[] = [
  0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

/** A gauge's reading: one value, or one per label set. */
export type Reading = number | readonly { readonly labels: Labels; readonly value: number }[];

interface Family {
  readonly name: string;
  readonly help: string;
  readonly kind: "counter" | "gauge" | "histogram";
  readonly print: (lines: string[]) => void;
}

function labelText(labels: Labels, extra = ""): string {
  const parts = Object.entries(labels).map(([name, value]) => {
    const escaped = value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
    return `${name}="${escaped}"`;
  });
  if (extra !== "") parts.push(extra);
  return parts.length === 0 ? "" : `{${parts.join(",")}}`;
}

function numberText(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (value === Infinity) return "+Inf";
  return value === -Infinity ? "-Inf" : String(value);
}

function printHistogram(name: string, labels: Labels, histogram: Histogram, lines: string[]): void {
  let count = 0;
  for (let slot = 0; slot <= histogram.bounds.length; slot++) {
    count += histogram.counts[slot] ?? 0;
    const bound = numberText(histogram.bounds[slot] ?? Infinity);
    lines.push(`${name}_bucket${labelText(labels, `le="${bound}"`)} ${count}`);
  }
  lines.push(`${name}_sum${labelText(labels)} ${numberText(histogram.sum)}`);
  lines.push(`${name}_count${labelText(labels)} ${count}`);
}

/** All metrics of the process. Names follow Prometheus: base units, `_total` for counters. A name is registered once. */
export class MetricRegistry {
  readonly #families = new Map<string, Family>();

  #add(family: Family): void {
    if (this.#families.has(family.name)) throw new Error(`metric ${family.name} registered twice`);
    this.#families.set(family.name, family);
  }

  /** A counter without labels. */
  counter(name: string, help: string): Counter {
    return this.counters(name, help)({});
  }

  /** A family of counters: the function gives the counter of a label set, the same one each time. Label sets must be few. */
  counters(name: string, help: string): (labels: Labels) => Counter {
    const members = new Map<string, Counter>();
    const print = (lines: string[]): void => {
      for (const [labels, counter] of members) lines.push(`${name}${labels} ${counter.value}`);
    };
    this.#add({ name, help, kind: "counter", print });
    return (labels) => {
      const text = labelText(labels);
      const counter = members.get(text) ?? new Counter();
      members.set(text, counter);
      return counter;
    };
  }

  /** Values read at each scrape. `kind` is "counter" where another part keeps the count. */
  read(
    name: string,
    help: string,
    reading: () => Reading,
    kind: "gauge" | "counter" = "gauge",
  ): void {
    const print = (lines: string[]): void => {
      const now = reading();
      if (typeof now === "number") lines.push(`${name} ${numberText(now)}`);
      else
        for (const { labels, value } of now)
          lines.push(`${name}${labelText(labels)} ${numberText(value)}`);
    };
    this.#add({ name, help, kind, print });
  }

  histogram(name: string, help: string, bounds: readonly number[] = LATENCY_BOUNDS_S): Histogram {
    const histogram = new Histogram(bounds);
    const print = (lines: string[]): void => printHistogram(name, {}, histogram, lines);
    this.#add({ name, help, kind: "histogram", print });
    return histogram;
  }

  /** The scrape. */
  text(): string {
    const lines: string[] = [];
    for (const { name, help, kind, print } of this.#families.values()) {
      lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${kind}`);
      print(lines);
    }
    return `${lines.join("\n")}\n`;
  }
}
