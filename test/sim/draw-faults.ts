// Which faults a seed has: drawn before its run begins. Runs differ in temper, since what breaks a rule is mostly several faults of one kind, close together.
import type { Fault, Spot } from "./faults.ts";
import type { Random } from "./random.ts";

/** What most of a run's faults are about. */
export const TEMPERS = ["mixed", "log", "state", "tables", "others"] as const;
export type Temper = (typeof TEMPERS)[number];

const OPERATIONS = ["write", "fsync", "link", "rename", "create", "unlink"] as const;

type Spots = readonly [Spot, ...Spot[]];

const STATE_COMMIT: Spot = { of: "commit", path: "state.db" };

/** Where the log's records become durable, and its files get their names. */
const LOG_SPOTS: Spots = [
  { of: "commit", path: "/log/" },
  { of: "rename", path: "/log/" },
];

/** Where epochs become durable, and get into their tables. */
const TABLE_SPOTS: Spots = [
  { of: "commit", path: "ledger.db" },
  { of: "link", path: "" },
];

/** What belongs together is half there when it ends here. */
const SPOTS: Spots = [...LOG_SPOTS, STATE_COMMIT, ...TABLE_SPOTS, { of: "fsync", path: "" }];

/** The faults of a seed, in order of time; none begins later than `untilUs`. */
export function drawFaults(random: Random, untilUs: number, temper: Temper): Fault[] {
  const faults: Fault[] = [];
  const at = (): number => random.between(0, untilUs);
  const often = random.pick([0, 1, 2, 4] as const);
  for (let count = random.between(0, 2 + often); count > 0; count--)
    faults.push(drawEnd(random, at()));
  for (let count = random.between(0, often); count > 0; count--)
    faults.push(drawError(random, at()));
  for (let count = random.between(0, 2); count > 0; count--) faults.push(drawPeriod(random, at()));
  if (temper !== "mixed")
    for (let count = random.between(3, 6); count > 0; count--)
      faults.push(...OF_TEMPER[temper](random, at()));
  return faults.toSorted((a, b) => a.atUs - b.atUs);
}

const OF_TEMPER: Readonly<
  Record<Exclude<Temper, "mixed">, (random: Random, atUs: number) => Fault[]>
> = {
  log: (random, atUs) =>
    random.chance(0.4)
      ? drawEndOfSlow(random, atUs, "/log/")
      : drawAround(random, atUs, random.pick(LOG_SPOTS)),
  state: (random, atUs) =>
    random.chance(0.5)
      ? drawEndOfSlow(random, atUs, random.pick(["/log/", "/log/", "state.db"] as const))
      : drawAround(random, atUs, STATE_COMMIT),
  tables: (random, atUs) =>
    random.chance(0.4)
      ? drawAway(random, atUs)
      : drawAround(random, atUs, random.pick(TABLE_SPOTS)),
  others: (random, atUs) =>
    random.chance(0.5) ? [drawSavepoint(random, atUs)] : drawForeign(random, atUs),
};

/** What others do to the appliance meanwhile, in order of time; ends of the process among it, where they tell something. */
export function drawOthers(random: Random, untilUs: number): Fault[] {
  const faults: Fault[] = [];
  for (let count = random.between(0, 3); count > 0; count--)
    faults.push(...drawForeign(random, random.between(0, untilUs)));
  if (random.chance(0.5)) faults.push(drawSavepoint(random, random.between(0, untilUs)));
  return faults.toSorted((a, b) => a.atUs - b.atUs);
}

function drawForeign(random: Random, atUs: number): Fault[] {
  const foreign = { kind: "foreign", atUs, operation: random.between(0, 3) } as const;
  // the other's commit is the last when we start again
  return random.chance(0.3)
    ? [foreign, drawEnd(random, atUs + random.between(0, 2_000_000))]
    : [foreign];
}

function drawSavepoint(random: Random, atUs: number): Fault {
  const copyUs = random.between(1000, 3_000_000);
  return { kind: "savepoint", atUs, copyUs, logUs: random.between(1000, 5_000_000) };
}

function drawEnd(random: Random, atUs: number): Fault {
  if (random.chance(0.15)) return { kind: "stop", atUs };
  const kind = random.chance(0.6) ? "power" : "kill";
  const isAfter = random.chance(0.5);
  if (random.chance(0.5)) {
    const laterUs = random.chance(0.3) ? random.between(0, 2_000_000) : 0;
    const spot = random.pick(SPOTS);
    return { kind, atUs, spot, operation: random.between(1, 4), isAfter, laterUs };
  }
  const operation = random.chance(0.5) ? random.between(1, 12) : random.between(0, 120);
  return { kind, atUs, spot: null, operation, isAfter, laterUs: 0 };
}

/** A call that fails, at times only after it has taken effect. */
function drawError(random: Random, atUs: number): Fault {
  const spot: Spot = random.chance(0.5)
    ? random.pick(SPOTS)
    : { of: random.pick(OPERATIONS), path: "" };
  const operation = random.between(1, 20);
  return { kind: "eio", atUs, spot, operation, isAfter: random.chance(0.4) };
}

/** An end just before or after one of the next calls of a kind, or an error of it, its answer lost or not, at times just before an end. */
function drawAround(random: Random, atUs: number, spot: Spot): Fault[] {
  const operation = random.between(1, 3);
  const isAfter = random.chance(0.5);
  const laterUs = random.chance(0.4) ? random.between(0, 2_000_000) : 0;
  const kind = random.chance(0.6) ? "power" : "kill";
  if (random.chance(0.6)) return [{ kind, atUs, spot, operation, isAfter, laterUs }];
  const error = { kind: "eio", atUs, spot, operation, isAfter } as const;
  return random.chance(0.4)
    ? [error, drawEnd(random, atUs + random.between(0, 4_000_000))]
    : [error];
}

/** One file's syncs are slow, and a thread stands still, so that others go ahead of it; and then the machine ends. */
function drawEndOfSlow(
  random: Random,
  atUs: number,
  of: "/log/" | "state.db" | "ledger.db",
): Fault[] {
  const endUs = atUs + random.between(500_000, 6_000_000);
  const syncUs = random.between(100_000, 800_000);
  const faults: Fault[] = [{ kind: "slow", atUs, untilUs: endUs + 1_000_000, of, syncUs }];
  const thread = of === "/log/" ? "log" : "export";
  if (random.chance(0.7))
    faults.push({ kind: "pause", atUs: random.between(atUs, endUs), untilUs: endUs, thread });
  // what did not wait for it is durable
  const spot = random.chance(0.4) ? random.pick(SPOTS) : null;
  const operation = spot === null ? random.between(0, 6) : 1;
  faults.push({ kind: "power", atUs: endUs - 500_000, spot, operation, isAfter: true, laterUs: 0 });
  return faults;
}

/** Tables that cannot be written for a while; the machine may end before they can. */
function drawAway(random: Random, atUs: number): Fault[] {
  const untilUs = atUs + random.between(2_000_000, 12_000_000);
  const path = random.pick(["/warehouse/", "/hits_raw/", "/tumbling/", "/hopping/"] as const);
  const away = { kind: "away", atUs, untilUs, path } as const;
  return random.chance(0.6) ? [away, drawEnd(random, random.between(atUs, untilUs))] : [away];
}

function drawPeriod(random: Random, atUs: number): Fault {
  const untilUs = atUs + random.between(500_000, 8_000_000);
  const kind = random.pick(["full", "slow", "clock", "network"] as const);
  if (kind === "full") return { kind, atUs, untilUs };
  if (kind === "slow") {
    const of = random.pick(["", "/log/", "state.db", "ledger.db"] as const);
    return { kind, atUs, untilUs, of, syncUs: random.between(10_000, 600_000) };
  }
  if (kind === "clock") return { kind, atUs, stepUs: random.between(-20_000_000, 20_000_000) };
  const lossShare = random.share() * 0.6;
  return { kind, atUs, untilUs, lossShare, delayUsMax: random.between(10_000, 8_000_000) };
}
