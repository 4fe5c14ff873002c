// Which faults a seed has: drawn before its run begins. Runs differ in temper, since what breaks a rule is mostly several faults of one kind, close together.
import type { Fault, Spot } from "./faults.ts";
import type { Random } from "./random.ts";

/** What most of a run's faults are about. */
export const TEMPERS = [
  "mixed",
  "log",
  "state",
  "slow",
  "ledger",
  "tables",
  "away",
  "others",
  "threads",
  "clock",
  "network",
] as const;
export type Temper = (typeof TEMPERS)[number];

const OPERATIONS = ["write", "fsync", "link", "rename", "create", "unlink"] as const;

/** Where records, state and epochs become durable, and where epochs get into their tables. */
const LOG_COMMIT: Spot = { of: "commit", path: "/log/" };
const STATE_COMMIT: Spot = { of: "commit", path: "state.db" };
const LEDGER_COMMIT: Spot = { of: "commit", path: "ledger.db" };
const TABLE_COMMIT: Spot = { of: "link", path: "" };
/** A file of the log gets its name. */
const LOG_ROLL: Spot = { of: "rename", path: "/log/" };

/** What belongs together is half there when it ends here. */
const SPOTS: readonly [Spot, ...Spot[]] = [
  LOG_COMMIT,
  LOG_ROLL,
  STATE_COMMIT,
  LEDGER_COMMIT,
  TABLE_COMMIT,
  { of: "fsync", path: "" },
];

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
      faults.push(...random.pick(OF_TEMPER[temper])(random, at()));
  return faults.toSorted((a, b) => a.atUs - b.atUs);
}

type Draw = (random: Random, atUs: number) => Fault[];

const OF_TEMPER: Readonly<Record<Exclude<Temper, "mixed">, readonly [Draw, ...Draw[]]>> = {
  log: [(random, atUs) => drawAround(random, atUs, LOG_COMMIT), drawEndAfterRoll],
  state: [(random, atUs) => drawAround(random, atUs, STATE_COMMIT), drawEndAfterRoll],
  slow: [
    (random, atUs) => drawEndOfSlow(random, atUs, "/log/"),
    (random, atUs) => drawEndOfSlow(random, atUs, "/log/"),
    (random, atUs) => drawEndOfSlow(random, atUs, "state.db"),
  ],
  ledger: [(random, atUs) => drawAround(random, atUs, LEDGER_COMMIT)],
  tables: [drawFound, (random, atUs) => drawAround(random, atUs, TABLE_COMMIT)],
  away: [drawAway],
  others: [(random, atUs) => [drawSavepoint(random, atUs)], drawForeign],
  threads: [(random, atUs) => [drawPause(random, atUs)]],
  clock: [(random, atUs) => [drawStep(random, atUs)]],
  network: [(random, atUs) => [drawBadNetwork(random, atUs)]],
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

/** The power goes some time after the log has begun a file. */
function drawEndAfterRoll(random: Random, atUs: number): Fault[] {
  const laterUs = random.between(100_000, 1_500_000);
  return [{ kind: "power", atUs, spot: LOG_ROLL, operation: 1, isAfter: true, laterUs }];
}

/** A table is committed, and who did it does not learn of that; the power goes soon after it was found. */
function drawFound(random: Random, atUs: number): Fault[] {
  const lost = {
    atUs,
    spot: TABLE_COMMIT,
    operation: random.between(1, 3),
    isAfter: true,
  } as const;
  const first: Fault = random.chance(0.5)
    ? { kind: "kill", ...lost, laterUs: 0 }
    : { kind: "eio", ...lost };
  const spot = random.chance(0.5) ? LEDGER_COMMIT : null;
  const operation = random.between(1, 12);
  const endUs = atUs + random.between(0, 8_000_000);
  return [first, { kind: "power", atUs: endUs, spot, operation, isAfter: true, laterUs: 0 }];
}

/** Tables that cannot be written for a while; the machine may end before they can. */
function drawAway(random: Random, atUs: number): Fault[] {
  const untilUs = atUs + random.between(4_000_000, 14_000_000);
  const path = random.pick(["/warehouse/", "/tumbling/", "/hopping/"] as const);
  const away = { kind: "away", atUs, untilUs, path } as const;
  if (random.chance(0.2)) return [away];
  const endUs = random.between(Math.floor((atUs + untilUs) / 2), untilUs);
  const operation = random.between(0, 12);
  return [
    away,
    { kind: "power", atUs: endUs, spot: null, operation, isAfter: random.chance(0.5), laterUs: 0 },
  ];
}

function drawPeriod(random: Random, atUs: number): Fault {
  const untilUs = atUs + random.between(500_000, 8_000_000);
  const kind = random.pick(["full", "slow", "clock", "network"] as const);
  if (kind === "full") return { kind, atUs, untilUs };
  if (kind === "clock") return drawStep(random, atUs);
  if (kind === "network") return drawBadNetwork(random, atUs);
  const of = random.pick(["", "/log/", "state.db", "ledger.db"] as const);
  return { kind, atUs, untilUs, of, syncUs: random.between(10_000, 600_000) };
}

function drawPause(random: Random, atUs: number): Fault {
  const thread = random.pick(["main", "log", "engine", "export"] as const);
  return { kind: "pause", atUs, untilUs: atUs + random.between(20_000, 2_000_000), thread };
}

function drawStep(random: Random, atUs: number): Fault {
  return { kind: "clock", atUs, stepUs: random.between(-20_000_000, 20_000_000) };
}

function drawBadNetwork(random: Random, atUs: number): Fault {
  const untilUs = atUs + random.between(500_000, 8_000_000);
  const delayUsMax = random.between(10_000, 8_000_000);
  return { kind: "network", atUs, untilUs, lossShare: random.share() * 0.6, delayUsMax };
}
