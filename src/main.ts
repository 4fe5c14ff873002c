// The composition root: command line and environment in, adapters together, exit codes out. The only reader of argv and env.
// Exit codes: 0 done or stopped in order, 1 a failure of ours or the disk, 2 something that the operator can mend.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import manifest from "../package.json" with { type: "json" };
import { Appliance } from "./appliance.ts";
import { must } from "./base/assert.ts";
import { systemClock } from "./base/clock.ts";
import { examplesFolder } from "./base/unpack.ts";
import { runCommand } from "./commands.ts";
import { faultsText, readCommandLine, type CommandLine } from "./config/argv.ts";
import { helpText } from "./config/help.ts";
import { parseAvroSchema } from "./event/avro.ts";
import { DataFolderError, FolderInUseError } from "./log/data-folder.ts";
import {
  checkConfig,
  type CheckedConfig,
  type CheckResult,
  type CheckTools,
} from "./serve/check.ts";
import { Client, ApplianceError } from "./serve/client.ts";
import { readClicks } from "./serve/clicks.ts";
import { runDemo } from "./serve/demo.ts";
import { KeyError } from "./serve/key.ts";
import { play } from "./serve/play.ts";
import { ListenError } from "./serve/server.ts";
import { CredentialsError, readCredentials, type Credentials } from "./ship/signature.ts";
import type { OnTableAhead } from "./table/recovery.ts";
import { startQueryChild } from "./threads/query-child.ts";
import { runViewCheck, ViewCheck } from "./threads/view-check.ts";
import { explainPlan } from "./view/explain.ts";

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const complain = (line: string): void => void process.stderr.write(`${line}\n`);

/** Worker entry points: the executable has them under these names too (tools/build.ts). */
const WORKERS = {
  log: new URL("./threads/log.ts", import.meta.url).href,
  engine: new URL("./threads/engine.ts", import.meta.url).href,
  export: new URL("./threads/export.ts", import.meta.url).href,
  reconcile: new URL("./threads/reconcile.ts", import.meta.url).href,
  past: new URL("./threads/past.ts", import.meta.url).href,
  savepoint: new URL("./threads/savepoint.ts", import.meta.url).href,
  ship: new URL("./threads/ship.ts", import.meta.url).href,
};

/** How this program starts itself again as another process: from source by its path, as an executable by itself. */
function ownCommand(role: "__query" | "__views"): string[] {
  const isExecutable = import.meta.path.startsWith("/$bunfs/");
  return isExecutable
    ? [process.execPath, role]
    : [process.execPath, "--no-install", import.meta.path, role];
}

async function check(line: CommandLine): Promise<CheckResult> {
  const views = new ViewCheck(ownCommand("__views"));
  const tools: CheckTools = {
    readText: (path) => readFileSync(path, "utf8"),
    parseSchema: ({ text, eventTime, eventId }) => {
      const parsed = parseAvroSchema(text, { eventTime, eventId, id: 1 });
      return "schema" in parsed
        ? { kind: "schema", schema: parsed.schema }
        : {
            kind: "faults",
            faults: parsed.faults.map(({ path, message }) => ({
              message: `${path}: ${message}`,
              advice: "",
            })),
          };
    },
    parseView: (source) => views.parse(source),
  };
  try {
    return await checkConfig(
      {
        configFlag: line.own.get("config"),
        workingFolder: process.cwd(),
        flags: line.flags,
        env: process.env,
      },
      tools,
    );
  } finally {
    views.close();
  }
}

/** The checked configuration; with faults they are said and the process ends. */
async function checkedConfig(line: CommandLine): Promise<CheckedConfig> {
  const checked = await check(line);
  if (checked.kind === "checked") return checked;
  complain(faultsText(checked.faults).trimEnd());
  return process.exit(2);
}

/** Starts the appliance, or throws why not. What goes wrong later ends the process. */
async function launch(
  checked: CheckedConfig,
  notice: (text: string) => void,
  onTableAhead: OnTableAhead = "refuse",
): Promise<Appliance> {
  const failed = ({ message, advice }: { message: string; advice: boolean }): never => {
    complain(advice ? message : `millrace ends, because going on could lose events: ${message}`);
    if (!advice)
      complain("start it again: it recovers from the log; if it happens again, check the disk");
    process.exit(advice ? 2 : 1);
  };
  return Appliance.start({
    checked,
    workers: WORKERS,
    queryCommand: ownCommand("__query"),
    version: manifest.version,
    key: process.env["MILLRACE_KEY"],
    failpoint: process.env["MILLRACE_FAILPOINT"],
    shipCredentials: checked.config.settings.ship.to === null ? null : readCredentials(process.env),
    onTableAhead,
    say: notice,
    failed,
  });
}

/** Says why the appliance did not start and ends the process. */
function endUnstarted(error: unknown): never {
  const isAdvice =
    error instanceof DataFolderError ||
    error instanceof KeyError ||
    error instanceof ListenError ||
    error instanceof CredentialsError;
  complain(isAdvice ? error.message : String(error instanceof Error ? error.stack : error));
  return process.exit(isAdvice ? 2 : 1);
}

/** Starts the appliance, or says why not and ends the process. */
async function startAppliance(line: CommandLine): Promise<Appliance> {
  const ahead = line.own.get("on-table-ahead") ?? "refuse";
  if (ahead !== "refuse" && ahead !== "rollback") {
    complain(`--on-table-ahead ${JSON.stringify(ahead)} is not known; write refuse or rollback`);
    return process.exit(2);
  }
  return launch(await checkedConfig(line), say, ahead).catch(endUnstarted);
}

/**
 * Something to ask about the configuration's data folder: the appliance that `--url` names or that has the folder, else one that runs
 * here, on a port of its own, until `use` is done.
 */
async function withClient<T>(
  line: CommandLine,
  checked: CheckedConfig | null,
  use: (client: Client) => Promise<T>,
): Promise<T> {
  const key = process.env["MILLRACE_KEY"] ?? null;
  const url = line.own.get("url");
  if (url !== undefined) return use(new Client(url, key));
  const known = must(checked, "a configuration where no --url is");
  const { settings } = known.config;
  const { path } = settings.storage;
  if (!existsSync(join(path, "lock.db"))) {
    complain(
      `${path} is not a data folder of Millrace; name it with --data, or a running one with --url`,
    );
    return process.exit(2);
  }
  const server = { ...settings.server, listen: { host: "127.0.0.1", port: 0 } };
  // it lives for a question: who serves the folder ships it
  const ship = { ...settings.ship, to: null };
  const quiet = { ...known, config: { ...known.config, settings: { ...settings, server, ship } } };
  const started = await launch(quiet, complain).catch((error: unknown) =>
    error instanceof FolderInUseError ? null : endUnstarted(error),
  );
  if (started === null) {
    const { host, port } = settings.server.listen;
    const elsewhere = `${path} is in use: name where it is served with --url`;
    const own = `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
    return use(new Client(own, key, elsewhere));
  }
  try {
    return await use(new Client(started.url, key));
  } finally {
    await started.stop();
  }
}

/** The commands of commands.ts, and their exit codes. */
async function look(line: CommandLine): Promise<never> {
  const parseView: CheckTools["parseView"] = async (source) => {
    const views = new ViewCheck(ownCommand("__views"));
    try {
      return await views.parse(source);
    } finally {
      views.close();
    }
  };
  const failpoint = process.env["MILLRACE_FAILPOINT"] ?? null;
  const credentials = (): Credentials => readCredentials(process.env);
  const tools = {
    say,
    complain,
    configOf: checkedConfig,
    parseView,
    withClient,
    failpoint,
    credentials,
  };
  return process.exit(await runCommand(line, tools));
}

/** One Ctrl-C arrives up to three times: from the terminal, npm and the launcher. Repeats this soon are the same signal. */
const SAME_SIGNAL_US = 1_000_000;

/**
 * Serves until SIGTERM or SIGINT; a second signal ends at once, and so does a stop that takes too long. Both are safe: what was
 * acknowledged is in the log.
 */
function stopOnSignal(appliance: Appliance): void {
  const clock = systemClock();
  let stoppingSinceUs: number | null = null;
  const stop = (): void => {
    const nowUs = clock.monotonicUs();
    if (stoppingSinceUs !== null) {
      if (nowUs - stoppingSinceUs > SAME_SIGNAL_US) process.exit(0);
      return;
    }
    stoppingSinceUs = nowUs;
    say("stopping: finishing what was accepted");
    const timeoutMs = appliance.shutdownTimeoutUs / 1000;
    setTimeout(() => {
      say(
        `not done after ${timeoutMs / 1000} s (server.shutdown_timeout): the next start goes on from the log`,
      );
      process.exit(0);
    }, timeoutMs);
    appliance.stop().then(
      () => process.exit(0),
      (error: unknown) => {
        complain(String(error));
        process.exit(1);
      },
    );
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
}

const screen = {
  isTerminal: process.stdout.isTTY,
  write: (text: string): void => void process.stdout.write(text),
};

function bundledClicks(): string[] {
  return readClicks(readFileSync(join(examplesFolder(), "clickstream", "clicks.csv.gz")));
}

/** The appliance on the example, unless --config names another; then the tour. */
async function demo(line: CommandLine): Promise<void> {
  const config = join(examplesFolder(), "clickstream", "millrace.yaml");
  const appliance = await startAppliance({
    ...line,
    own: new Map([["config", config], ...line.own]),
  });
  stopOnSignal(appliance);
  const { url } = appliance;
  const key = process.env["MILLRACE_KEY"] ?? appliance.madeKey;
  const client = new Client(url, key);
  await runDemo({ client, url, key, events: bundledClicks() }, screen, systemClock());
}

async function playClicks(line: CommandLine): Promise<void> {
  if (line.words.join(" ") !== "clicks") {
    complain("what is played is named: millrace play clicks [--url URL] [--rate N]");
    return process.exit(2);
  }
  const rate = line.own.get("rate");
  const rateMax = rate === undefined ? null : Number(rate);
  if (rateMax !== null && !(rateMax > 0)) {
    complain(
      `--rate ${JSON.stringify(rate)} is not a number of events per second; write --rate 1000`,
    );
    return process.exit(2);
  }
  const client = new Client(
    line.own.get("url") ?? "http://127.0.0.1:8080",
    process.env["MILLRACE_KEY"] ?? null,
  );
  try {
    await play(
      client,
      { stream: "clicks", events: bundledClicks(), rateMax },
      screen,
      systemClock(),
    );
  } catch (error) {
    if (!(error instanceof ApplianceError)) throw error;
    complain(error.message);
    process.exit(2);
  }
}

async function run(line: CommandLine): Promise<void> {
  switch (line.command) {
    case "help":
      return say(helpText().trimEnd());
    case "version":
      return say(`millrace ${manifest.version}`);
    case "check": {
      const checked = await check(line);
      if (checked.kind === "checked") {
        for (const plan of checked.plans)
          say(explainPlan(plan, must(checked.schemas.get(plan.stream), plan.stream).schema));
        return say("the configuration is good");
      }
      complain(faultsText(checked.faults).trimEnd());
      return process.exit(2);
    }
    case "serve": {
      const appliance = await startAppliance(line);
      stopOnSignal(appliance);
      return say(`millrace ${manifest.version} serves on ${appliance.url}`);
    }
    case "demo":
      return demo(line);
    case "verify":
    case "reconcile":
    case "test":
    case "preview":
    case "savepoint":
    case "restore":
    case "doctor":
      return look(line);
    case "play":
      return playClicks(line);
  }
}

const argv = process.argv.slice(2);
if (argv[0] === "__views") runViewCheck();
else if (argv[0] === "__query") await startQueryChild(argv.slice(1));
else {
  const line = readCommandLine(argv);
  if (typeof line === "string") {
    complain(line);
    process.exit(2);
  }
  await run(line);
}
