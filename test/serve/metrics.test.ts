import { expect, test } from "bun:test";
import { MetricRegistry } from "../../src/serve/metrics.ts";

test("the scrape is Prometheus' text format", () => {
  const registry = new MetricRegistry();
  registry.counter("a_total", "As.").add(3);
  const byRoute = registry.counters("b_total", "Bs.");
  byRoute({ route: 'x"\\\n' }).add(1);
  byRoute({ route: 'x"\\\n' }).add(1);
  registry.read("c", "Cs.", () => 1.5);
  registry.read("d", "Ds.", () => [
    { labels: { view: "v" }, value: Infinity },
    { labels: { view: "w" }, value: NaN },
  ]);
  const seconds = registry.histogram("e_seconds", "Es.", [0.1, 1]);
  for (const value of [0.1, 0.5, 2, 3]) seconds.observe(value);
  expect(registry.text()).toBe(`# HELP a_total As.
# TYPE a_total counter
a_total 3
# HELP b_total Bs.
# TYPE b_total counter
b_total{route="x\\"\\\\\\n"} 2
# HELP c Cs.
# TYPE c gauge
c 1.5
# HELP d Ds.
# TYPE d gauge
d{view="v"} +Inf
d{view="w"} NaN
# HELP e_seconds Es.
# TYPE e_seconds histogram
e_seconds_bucket{le="0.1"} 1
e_seconds_bucket{le="1"} 2
e_seconds_bucket{le="+Inf"} 4
e_seconds_sum 5.6
e_seconds_count 4
`);
});

test("a name is registered once", () => {
  const registry = new MetricRegistry();
  registry.counter("a_total", "As.");
  expect(() => registry.counter("a_total", "Again.")).toThrow("registered twice");
});
