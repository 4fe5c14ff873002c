// What a running appliance takes of the machine: memory, open files and threads of its process and of its query process, and its disk.
import { readdirSync, readFileSync } from "node:fs";

/** The highest that was seen. */
export interface Peaks {
  parentMb: number;
  queryMb: number;
  openFiles: number;
  threads: number;
  diskMb: number;
}

export const noPeaks = (): Peaks => ({
  parentMb: 0,
  queryMb: 0,
  openFiles: 0,
  threads: 0,
  diskMb: 0,
});

interface Process {
  readonly mb: number;
  readonly openFiles: number;
  readonly threads: number;
}

function processOf(pid: number): Process {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const number = (name: string): number =>
    Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0);
  return {
    mb: number("VmRSS") / 1024,
    openFiles: readdirSync(`/proc/${pid}/fd`).length,
    threads: number("Threads"),
  };
}

function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, "utf8")
      .split(" ")
      .filter(Boolean)
      .map(Number),
  );
}

/** Takes what is higher than before into `peaks`. A process that has just ended counts as nothing. */
export function measure(pid: number, data: string, peaks: Peaks): void {
  try {
    const parent = processOf(pid);
    const children = childrenOf(pid).map(processOf);
    const all = [parent, ...children];
    const sum = (of: (one: Process) => number): number =>
      all.reduce((total, one) => total + of(one), 0);
    peaks.parentMb = Math.max(peaks.parentMb, parent.mb);
    peaks.queryMb = Math.max(peaks.queryMb, ...children.map(({ mb }) => mb));
    peaks.openFiles = Math.max(
      peaks.openFiles,
      sum(({ openFiles }) => openFiles),
    );
    peaks.threads = Math.max(
      peaks.threads,
      sum(({ threads }) => threads),
    );
    const { stdout } = Bun.spawnSync(["du", "-sm", data], { stderr: "ignore" });
    peaks.diskMb = Math.max(peaks.diskMb, Number.parseInt(stdout.toString(), 10) || 0);
  } catch (error) {
    if (
      !(
        error instanceof Error &&
        "code" in error &&
        ["ENOENT", "ESRCH"].includes(String(error.code))
      )
    )
      throw error;
  }
}
