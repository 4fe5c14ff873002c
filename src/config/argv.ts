// Verb: command line -> command and flags. Knows which commands there are, not what they do.
import { faultText } from "./fault.ts";
import type { Fault } from "./fault.ts";
import { similar } from "../base/similar.ts";

/** The commands of this release, as `--help` lists them. */
export const COMMANDS = {
  serve: "run the appliance: serve --config FILE --data DIR --listen HOST:PORT",
  check: "check a configuration and print every fault: check --config FILE",
  demo: "run it on the bundled clicks: plays them, prints aggregates, serves on",
  verify:
    "compare views with DuckDB over the raw events: verify [VIEW] [FROM TO] --config FILE; exit code 0 same, 1 different, 2 could not",
  reconcile:
    "bring late events into final windows: reconcile VIEW FROM TO [--dry-run] --config FILE; exit code 0 done or nothing to do, 1 windows were skipped, 2 could not",
  preview:
    "run a view over past events or a file: preview NAME-OR-TEXT [--from TIME --to TIME | --file events.ndjson] --config FILE",
  test: "run fixture tests of your views: test DIR [--config FILE]; exit code 0 passed, 1 failed, 2 could not",
  savepoint:
    "copy everything while it runs, into a new folder of its machine: savepoint DIR --config FILE; exit code 0 done, 2 could not",
  restore:
    "make a data folder of a savepoint, or of what was shipped: restore DIR-OR-S3-PREFIX --data NEW_FOLDER; exit code 0 done, 2 could not",
  doctor:
    "audit a data folder that no millrace uses: doctor --data DIR [--deep] [--repair] [--json]; exit code 0 all well, 1 something that --repair mends, 2 damage or refused",
  play: "play the bundled clicks into a running appliance: play clicks [--url URL] [--rate N]",
  help: "print this help",
  version: "print the version",
} as const;
export type Command = keyof typeof COMMANDS;

/** Flags that are no keys of the configuration. `config` is the file's path. */
export const COMMAND_FLAGS: Readonly<Record<string, string>> = {
  config: "the configuration file (default: millrace.yaml; MILLRACE_CONFIG)",
  url: "play, verify, reconcile, preview, savepoint: where the appliance is (default: http://127.0.0.1:8080; all but play: what serves the data folder)",
  "dry-run": "reconcile: say what would be done; takes no value",
  deep: "doctor: read every value of the tables and every sealed id; takes no value",
  repair: "doctor: do what loses nothing; takes no value",
  json: "doctor: print the report as JSON; takes no value",
  from: "preview: events from this time on, 2019-10-01T00:30:00Z",
  to: "preview: events before this time",
  file: "preview: events of a file, one JSON text a line, in place of the past",
  "on-table-ahead":
    "serve: when a table has rows that the data folder, an older copy, does not know: refuse (default), or rollback: take it back to the data folder's moment",
  shipment: "restore: the number of an older shipment, in place of the newest",
  rate: "play: events per second at most (default: as fast as it goes)",
};

const LATER_COMMANDS = ["plan", "backfill", "replay", "export"];

/** Flags of COMMAND_FLAGS that take no value. */
const SWITCHES = ["dry-run", "deep", "repair", "json"];

export interface CommandLine {
  readonly command: Command;
  /** Words after the command that are no flags: `clicks`. */
  readonly words: readonly string[];
  /** Flags of COMMAND_FLAGS. */
  readonly own: ReadonlyMap<string, string>;
  /** All other flags: keys of the configuration, to be checked against it. */
  readonly flags: ReadonlyMap<string, string>;
}

function isCommand(word: string): word is Command {
  return Object.hasOwn(COMMANDS, word);
}

/** What is wrong with a word that is no command. */
function noCommand(word: string): string {
  if (LATER_COMMANDS.includes(word)) return `millrace ${word} is not in this release`;
  const meant = similar(word, Object.keys(COMMANDS));
  return `there is no command ${JSON.stringify(word)}; ${
    meant === null ? `commands are ${Object.keys(COMMANDS).join(", ")}` : `did you mean ${meant}?`
  }`;
}

/** Reads `command [words] --flag value --flag=value`. A string is what is wrong, for the operator. */
export function readCommandLine(argv: readonly string[]): CommandLine | string {
  const words: string[] = [];
  const flags = new Map<string, string>();
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at] ?? "";
    if (word === "-h" || word === "--help")
      return { command: "help", words: [], own: new Map(), flags: new Map() };
    if (word === "-v" || word === "--version") words.unshift("version");
    else if (!word.startsWith("-")) words.push(word);
    else if (SWITCHES.includes(word.slice(2))) flags.set(word.slice(2), "on");
    else {
      const match = /^--([a-z][a-z0-9_.-]*)(?:=(.*))?$/s.exec(word);
      if (match === null) return `${JSON.stringify(word)} is not a flag; write --name value`;
      const [, name = "", joined] = match;
      const value = joined ?? argv[++at];
      if (value === undefined || (joined === undefined && value.startsWith("--")))
        return `--${name} has no value; write --${name} VALUE`;
      if (flags.has(name)) return `--${name} is given twice; leave one out`;
      flags.set(name, value);
    }
  }
  const [command = "help"] = words;
  if (!isCommand(command)) return noCommand(command);
  const own = new Map([...flags].filter(([name]) => Object.hasOwn(COMMAND_FLAGS, name)));
  const keys = new Map([...flags].filter(([name]) => !Object.hasOwn(COMMAND_FLAGS, name)));
  return { command, words: words.slice(1), own, flags: keys };
}

/** All faults as an operator reads them: one a line, then how many. */
export function faultsText(faults: readonly Fault[]): string {
  const count = faults.length === 1 ? "1 fault" : `${faults.length} faults`;
  return `${faults.map(faultText).join("\n")}\n${count}\n`;
}
