// Verb: the names in a data folder -> what does not belong there.
import { Findings, type Check } from "./report.ts";
import type { Place } from "./place.ts";

const KNOWN =
  /^((lock|state|ledger)\.db(-(journal|wal|shm))?|log|warehouse|ids|tmp|doctor|ship\.json|key\.sha256|lost\+found)$/;
/** Of a start that was killed while it looked whether it may write. */
const PROBE = /^\.write-probe-\d+$/;

export function checkFolder({ folder, files }: Place): Check {
  const findings = new Findings("folder");
  const names = files.list(folder);
  const probes = names.filter((name) => PROBE.test(name));
  if (probes.length > 0)
    findings.note(
      `${probes.join(", ")}: left by a start that was killed`,
      probes.map((name) => ({
        kind: "remove" as const,
        path: `${folder}/${name}`,
        why: "left by a start that was killed",
      })),
    );
  const foreign = names.filter((name) => !KNOWN.test(name) && !PROBE.test(name));
  if (foreign.length > 0)
    findings.note(`not Millrace's, left alone: ${foreign.slice(0, 10).join(", ")}`);
  return findings.check("it is locked by nobody else, its identity is readable");
}
