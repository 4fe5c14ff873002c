// Adapter: how many files the system lets this process have open.
import { readFileSync } from "node:fs";

/** What POSIX guarantees a desktop or server in practice (RLIMIT_NOFILE's usual soft limit): taken where the system does not say. */
const OPEN_FILES_USUAL = 1024;

/** The soft limit of open files (`ulimit -n`). */
export function openFilesLimit(): number {
  try {
    const soft = /^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    return soft === undefined ? OPEN_FILES_USUAL : Number(soft);
  } catch {
    return OPEN_FILES_USUAL;
  }
}
