// Nouns: what the doctor says of a data folder. A check has a verdict, what was looked at, findings that say what to do, and notes on what needs
// nobody: the next start settles it. Owns how a report reads, as text and as JSON, and its exit code.

/** ok: nothing to do. repairable: `--repair` mends it and loses nothing. damaged: only a backup does. */
export type Verdict = "ok" | "repairable" | "damaged";

/** A step of `--repair`. Paths are absolute. */
export type Repair =
  /** Worthless: nothing names it, or a start would remove it. */
  | { readonly kind: "remove"; readonly path: string; readonly why: string }
  /** Doubtful: kept, in the doctor's folder. */
  | { readonly kind: "move"; readonly path: string; readonly why: string }
  /** The hint of the table in `path` is to say `version`. */
  | {
      readonly kind: "hint";
      readonly path: string;
      readonly version: number;
      readonly why: string;
    };

export interface Check {
  readonly name: string;
  readonly verdict: Verdict;
  /** What was looked at. */
  readonly said: string;
  readonly findings: readonly string[];
  readonly notes: readonly string[];
  readonly repairs: readonly Repair[];
}

export interface Report {
  readonly folder: string;
  /** Null: the folder has no identity yet. */
  readonly jobId: string | null;
  readonly checks: readonly Check[];
}

/** Findings and notes of a check that are named; the others are counted. */
const NAMED_MAX = 20;

/** Gathers what one check finds. */
export class Findings {
  readonly #name: string;
  readonly #findings: string[] = [];
  readonly #notes: string[] = [];
  readonly #repairs: Repair[] = [];
  #unnamed = 0;
  #verdict: Verdict = "ok";

  constructor(name: string) {
    this.#name = name;
  }

  damaged(text: string): void {
    this.#verdict = "damaged";
    this.#find(text);
  }

  repairable(text: string, repairs: readonly Repair[]): void {
    if (this.#verdict === "ok") this.#verdict = "repairable";
    this.#find(text);
    this.#repairs.push(...repairs);
  }

  /** Nobody has to do anything; `repairs` are done all the same when repairs are wanted. */
  note(text: string, repairs: readonly Repair[] = []): void {
    this.#notes.push(text);
    this.#repairs.push(...repairs);
  }

  /** Runs a step whose errors are findings: readers throw what is wrong and what to do. Null after an error. */
  try<T>(step: () => T): T | null {
    try {
      return step();
    } catch (error) {
      this.damaged(reasonOf(error));
      return null;
    }
  }

  /** The check, after `said` was looked at. */
  check(said: string): Check {
    const more = this.#unnamed === 0 ? [] : [`and ${this.#unnamed} more like these`];
    return {
      name: this.#name,
      verdict: this.#verdict,
      said,
      findings: [...this.#findings, ...more],
      notes: this.#notes,
      repairs: this.#repairs,
    };
  }

  #find(text: string): void {
    if (this.#findings.length < NAMED_MAX) this.#findings.push(text);
    else this.#unnamed++;
  }
}

/** What an error says; a broken invariant of ours is not a finding and is thrown on. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) throw error;
  if (error instanceof TypeError || error instanceof ReferenceError) throw error;
  return error.message;
}

/** 0 all well, 1 something that can be repaired, 2 something that cannot. */
export function exitCodeOf({ checks }: Report): number {
  if (checks.some(({ verdict }) => verdict === "damaged")) return 2;
  return checks.some(({ verdict }) => verdict === "repairable") ? 1 : 0;
}

/** What may be done. While anything is damaged files stay where they are: one that seems to be nobody's may be what is missing. */
export function repairsOf(report: Report): Repair[] {
  const all = report.checks.flatMap(({ repairs }) => repairs);
  return exitCodeOf(report) === 2 ? all.filter(({ kind }) => kind === "hint") : all;
}

/** What a repair does, or would do. */
export function repairText(repair: Repair): string {
  const verb = { remove: "remove", move: "move aside", hint: "rewrite the hint of" }[repair.kind];
  const to = repair.kind === "hint" ? ` to say ${repair.version}` : "";
  return `${verb} ${repair.path}${to} (${repair.why})`;
}

/** The report as an operator reads it, a line each. `isPlan`: what repairs would do is said too. */
export function reportLines(report: Report, isPlan: boolean): string[] {
  const lines = [
    `data folder ${report.folder}${report.jobId === null ? "" : `, job ${report.jobId}`}`,
  ];
  for (const { name, verdict, said, findings, notes } of report.checks) {
    lines.push(`${verdict.padEnd(10)} ${name}: ${said}`);
    for (const text of findings) lines.push(`             - ${text}`);
    for (const text of notes) lines.push(`             (${text})`);
  }
  const repairs = repairsOf(report);
  if (isPlan && repairs.length > 0) {
    lines.push("with --repair it would");
    for (const repair of repairs.slice(0, NAMED_MAX)) lines.push(`  ${repairText(repair)}`);
    if (repairs.length > NAMED_MAX)
      lines.push(`  and ${repairs.length - NAMED_MAX} more like these`);
  }
  lines.push(
    [
      "all is well",
      "what was found can be repaired without loss: run it with --repair",
      "there is damage that cannot be repaired here: see what each line says to do; until then no file is removed or moved",
    ][exitCodeOf(report)] ?? "",
  );
  return lines;
}

/** What programs get of a folder that was refused. */
export function refusalJson(folder: string, refused: string): string {
  return JSON.stringify(
    { folder, job_id: null, exit_code: 2, refused, checks: [], done: [] },
    null,
    2,
  );
}

/** The report for programs; `done`: what was repaired. */
export function reportJson(report: Report, done: readonly string[]): string {
  const checks = report.checks.map(({ repairs, ...check }) => ({
    ...check,
    repairs: repairs.map(repairText),
  }));
  return JSON.stringify(
    { folder: report.folder, job_id: report.jobId, exit_code: exitCodeOf(report), checks, done },
    null,
    2,
  );
}
