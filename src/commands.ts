// Verbs: `verify`, `test`, `preview`, which look at views and change nothing, `reconcile`, `savepoint`, `restore` and `doctor`. Each returns its exit code; what it prints goes to
// `CommandTools`, as do the configuration and whom to ask, which main decides.
import { readFileSync, statSync } from "node:fs";
import { isAbsolute, resolve } from "node:path";
import { kernelModule } from "../kernels/modules.ts";
import { engineStreams } from "./appliance.ts";
import { must } from "./base/assert.ts";
import { systemClock, wallClock } from "./base/clock.ts";
import { counted } from "./base/counted.ts";
import { openDiskFiles } from "./base/disk-files.ts";
import type { CommandLine } from "./config/argv.ts";
import { examine } from "./doctor/doctor.ts";
import {
  exitCodeOf as doctorExitCode,
  refusalJson,
  reportJson,
  reportLines,
} from "./doctor/report.ts";
import { DataFolderError } from "./log/data-folder.ts";
import { EventLineError, readEventLines } from "./rehearsal/event-lines.ts";
import {
  fixtureText,
  refusedText,
  rehearse,
  runFixture,
  type RehearsalConfig,
} from "./rehearsal/fixture.ts";
import { configAbove, fixtureFolders, folderFiles } from "./rehearsal/folders.ts";
import { NoRoomError } from "./rehearsal/last-rows.ts";
import { Past } from "./rehearsal/past.ts";
import type { Ask } from "./rehearsal/past-rows.ts";
import {
  previewSummary,
  reconciledCountText,
  reconciledNote,
  shownRows,
  withLower,
} from "./rehearsal/preview.ts";
import { withReconciled } from "./reconcile/past-windows.ts";
import { reconcileExitCode, reconcileSummary } from "./reconcile/report.ts";
import { reconcileRefusal } from "./reconcile/scope.ts";
import type { Relation } from "./rehearsal/relation.ts";
import { SavepointError } from "./savepoint/manifest.ts";
import { megabytes, progressText, restoreLines, savepointLines } from "./savepoint/report.ts";
import { restoreSavepoint } from "./savepoint/restore.ts";
import { shipRestoreLines } from "./ship/report.ts";
import { restoreShipment, type ShipRestoreOrder } from "./ship/restore.ts";
import { S3Store } from "./ship/s3-store.ts";
import { CredentialsError, type Credentials } from "./ship/signature.ts";
import { StoreError } from "./ship/store.ts";
import { readShipmentNumber, readShipTarget } from "./ship/target.ts";
import type { CheckedConfig, CheckTools } from "./serve/check.ts";
import { ApplianceError, type Client } from "./serve/client.ts";
import { tableText } from "./serve/demo.ts";
import { exitCodeOf, verdictText, verifyView, type Verdict } from "./verify/verify.ts";
import { readRange, readVerifyWords } from "./verify/words.ts";
import type { ViewPlan } from "./view/plan.ts";
import { quoteName } from "./view/render.ts";
import type { ViewCounts } from "./window/fold.ts";

/** What a command cannot do for itself. */
export interface CommandTools {
  /** A line of the command's result, and one about why there is none. */
  readonly say: (line: string) => void;
  readonly complain: (line: string) => void;
  /** The checked configuration; ends the process when it has faults. */
  readonly configOf: (line: CommandLine) => Promise<CheckedConfig>;
  readonly parseView: CheckTools["parseView"];
  /** MILLRACE_FAILPOINT, for tests. */
  readonly failpoint: string | null;
  /** Those of the environment; throws CredentialsError when it has none. */
  readonly credentials: () => Credentials;
  /** Something to ask about the configuration's data folder, until `use` is done; ends the process when there is none. Null only with --url. */
  readonly withClient: <T>(
    line: CommandLine,
    checked: CheckedConfig | null,
    use: (client: Client) => Promise<T>,
  ) => Promise<T>;
}

/** The words of a command are wrong, or what they name. The message says what to write. */
class CommandError extends Error {
  override readonly name = "CommandError";
}

/** Runs `verify`, `reconcile`, `test`, `preview`, `savepoint`, `restore` or `doctor`. 2: it could not do what it was asked for. */
export async function runCommand(line: CommandLine, tools: CommandTools): Promise<number> {
  try {
    if (line.command === "verify") return await verify(line, tools);
    if (line.command === "reconcile") return await reconcile(line, tools);
    if (line.command === "savepoint") return await savepoint(line, tools);
    if (line.command === "restore") return await restore(line, tools);
    if (line.command === "doctor") return await doctor(line, tools);
    return await (line.command === "test" ? runTests(line, tools) : preview(line, tools));
  } catch (error) {
    const isTheirs =
      error instanceof CommandError ||
      error instanceof ApplianceError ||
      error instanceof DataFolderError ||
      error instanceof EventLineError ||
      error instanceof SavepointError ||
      error instanceof StoreError ||
      error instanceof CredentialsError ||
      error instanceof NoRoomError;
    // 1 would say that something differs
    if (!isTheirs) {
      tools.complain(error instanceof Error ? String(error.stack) : String(error));
      return 2;
    }
    const advice = error instanceof NoRoomError ? "; preview fewer events" : "";
    tools.complain(`${error.message}${advice}`);
    return 2;
  }
}

/** Exit codes for cron: 0 the same, 1 different, 2 could not be verified. */
async function verify(line: CommandLine, tools: CommandTools): Promise<number> {
  const checked = await tools.configOf(line);
  const words = readVerifyWords(line.words, checked.plans);
  if (typeof words === "string") throw new CommandError(words);
  if (!checked.config.settings.export.raw)
    throw new CommandError(
      "with export.raw: off raw events leave with the log's trimming: nothing is left to compare with",
    );
  const { plans, schemas } = checked;
  const verdicts = await tools.withClient(line, checked, async (client) => {
    const done: Verdict[] = [];
    for (const plan of words.plans) {
      const verdict = await verifyView(client, plan, { plans, schemas, range: words.range });
      tools.say(verdictText(verdict));
      done.push(verdict);
    }
    return done;
  });
  return exitCodeOf(verdicts);
}

/** Late events into final windows of a view, by whoever serves the data folder. */
async function reconcile(line: CommandLine, tools: CommandTools): Promise<number> {
  const checked = await tools.configOf(line);
  if (line.words.length !== 3)
    throw new CommandError("write millrace reconcile VIEW FROM TO [--dry-run]");
  const words = readVerifyWords(line.words, checked.plans);
  if (typeof words === "string") throw new CommandError(words);
  const plan = must(words.plans[0], "a view");
  const range = must(words.range, "a range");
  const why = reconcileRefusal(plan);
  if (why !== null) throw new CommandError(why);
  const isDry = line.own.has("dry-run");
  let told = 0;
  const report = await tools.withClient(line, checked, (client) =>
    client.reconcile({ view: plan.name, ...range, isDry }, ({ lateEventsDone, lateEventsAll }) => {
      if (lateEventsDone > told)
        tools.say(
          `${lateEventsDone.toLocaleString("en-US")} of ${counted(lateEventsAll, "late event")}`,
        );
      told = lateEventsDone;
    }),
  );
  tools.say(reconcileSummary(report, isDry));
  return reconcileExitCode(report);
}

/** The data folder that a line names: no configuration is needed when it says nothing else. */
async function namedFolder(line: CommandLine, tools: CommandTools): Promise<string> {
  const named = line.flags.get("data") ?? line.flags.get("storage.path");
  if (named !== undefined && line.flags.size === 1 && !line.own.has("config"))
    return resolve(named);
  return (await tools.configOf(line)).config.settings.storage.path;
}

/** Audits a data folder that no process has. Exit codes: 0 all well, 1 it can be repaired, 2 it cannot, or the folder was refused. */
async function doctor(line: CommandLine, tools: CommandTools): Promise<number> {
  if (line.words.length > 0)
    throw new CommandError("write millrace doctor --data DIR [--deep] [--repair] [--json]");
  const done: string[] = [];
  const isJson = line.own.has("json");
  const isRepair = line.own.has("repair");
  const folder = await namedFolder(line, tools);
  const report = await examine(folder, {
    files: openDiskFiles(tools.failpoint),
    isDeep: line.own.has("deep"),
    isRepair,
    nowUs: systemClock().nowUs(),
    progress: tools.complain,
    repaired: (text) => {
      done.push(text);
      if (!isJson) tools.say(text);
    },
  }).catch((error: unknown) => {
    const isRefused = error instanceof DataFolderError;
    if (isJson && isRefused) tools.say(refusalJson(folder, error.message));
    if (isRefused || !(error instanceof Error) || !("code" in error)) throw error;
    throw new CommandError(
      `${error.message}: what was done stays done; mend that, then run it again`,
    );
  });
  if (isJson) tools.say(reportJson(report, done));
  else for (const text of reportLines(report, !isRepair)) tools.say(text);
  return doctorExitCode(report);
}

/** A copy of everything, made by whoever serves the data folder. */
async function savepoint(line: CommandLine, tools: CommandTools): Promise<number> {
  const [to, ...more] = line.words;
  if (to === undefined || more.length > 0)
    throw new CommandError("write millrace savepoint DIR, a folder that is empty or not there");
  if (line.own.has("url") && !isAbsolute(to))
    throw new CommandError(`${to} is on the machine of --url: write an absolute path`);
  const checked = line.own.has("url") ? null : await tools.configOf(line);
  const report = await tools.withClient(line, checked, (client) =>
    client.savepoint(resolve(to), (progress) => tools.say(progressText(progress))),
  );
  for (const text of savepointLines(report)) tools.say(text);
  return 0;
}

/** A new data folder out of a savepoint or of what was shipped. Needs no configuration, and no process. */
async function restore(line: CommandLine, tools: CommandTools): Promise<number> {
  const [from, ...more] = line.words;
  const to = line.flags.get("data") ?? line.flags.get("storage.path");
  if (from === undefined || to === undefined || more.length > 0)
    throw new CommandError(
      "write millrace restore DIR --data NEW_FOLDER, with s3://BUCKET/PREFIX as DIR for what was shipped",
    );
  let told = 0;
  const into = {
    dataFolder: resolve(to),
    files: openDiskFiles(tools.failpoint),
    tell: (bytes: number, all: number): void => {
      const tenth = Math.floor((10 * bytes) / all);
      if (tenth > told) tools.say(`${tenth * 10} % of ${megabytes(all)}`);
      told = tenth;
    },
  };
  if (from.startsWith("s3:")) return restoreShipped({ ...line, from }, tools, into);
  if (line.flags.size > 1 || line.own.has("shipment"))
    throw new CommandError("besides --data a restore from a folder takes no flags");
  const report = await restoreSavepoint({ from: resolve(from), ...into });
  for (const text of restoreLines(report)) tools.say(text);
  return 0;
}

/** The same out of an object store. */
async function restoreShipped(
  { from, own, flags }: CommandLine & { readonly from: string },
  tools: CommandTools,
  into: Omit<ShipRestoreOrder, "store" | "number">,
): Promise<number> {
  const shipFlags = [...flags].filter(([name]) => name.startsWith("ship."));
  if (flags.size > 1 + shipFlags.length)
    throw new CommandError(
      "besides --data a restore takes --ship.endpoint, --ship.region, --ship.path_style and --shipment",
    );
  const number = readShipmentNumber(own.get("shipment"));
  const target = readShipTarget(from, new Map(shipFlags));
  if (typeof target === "string") throw new CommandError(target);
  if (typeof number === "string") throw new CommandError(number);
  const { signal } = new AbortController();
  const options = { target, credentials: tools.credentials(), clock: wallClock(), signal };
  const report = await restoreShipment({ store: new S3Store(options), number, ...into });
  for (const text of shipRestoreLines(report)) tools.say(text);
  return 0;
}

/** What `test` and `preview` run the path with. */
async function rehearsalConfig(checked: CheckedConfig): Promise<RehearsalConfig> {
  const [decode, admit, fold] = [
    await kernelModule("decode"),
    await kernelModule("admit"),
    await kernelModule("fold"),
  ];
  const { plans } = checked;
  return { modules: { decode, admit, fold }, streams: engineStreams(checked), plans };
}

/** Every fixture below a folder, each with the configuration nearest above it unless one is named. */
async function runTests(line: CommandLine, tools: CommandTools): Promise<number> {
  const [folder, ...more] = line.words;
  if (folder === undefined || more.length > 0)
    throw new CommandError("name the folder of the tests: millrace test DIR");
  const found = fixtureFolders(folder);
  if (typeof found === "string") throw new CommandError(found);
  const configs = new Map<string, RehearsalConfig>();
  let code = 0;
  for (const path of found) {
    const config = line.own.get("config") ?? configAbove(path) ?? "millrace.yaml";
    let known = configs.get(config);
    if (known === undefined) {
      const own = new Map([...line.own, ["config", config]]);
      known = await rehearsalConfig(await tools.configOf({ ...line, own }));
      configs.set(config, known);
    }
    const result = runFixture(folderFiles(path), known);
    tools.say(fixtureText(path, result));
    if (result.kind === "bad") code = 2;
    else if (result.differences.length > 0) code = Math.max(code, 1);
  }
  return code;
}

/** The plan of a view of the configuration, or of a text. */
async function planOf(
  nameOrText: string,
  checked: CheckedConfig,
  tools: CommandTools,
): Promise<ViewPlan> {
  const { plans, schemas } = checked;
  const known = plans.find(({ name }) => name === nameOrText.toLowerCase());
  if (known !== undefined) return known;
  if (!/\s/.test(nameOrText))
    throw new CommandError(
      `there is no view ${JSON.stringify(nameOrText)}; views are ${plans.map(({ name }) => name).join(", ") || "none"}; or write a SELECT`,
    );
  const streams = [...schemas].map(([name, { schema }]) => ({ name, schema }));
  const result = await tools.parseView({ name: "preview", sql: nameOrText, streams });
  if (result.kind === "plan") return result.plan;
  const faults = result.faults.map(
    ({ line, column, message, advice }) =>
      `line ${line}, column ${column}: ${message}${advice === "" ? "" : `; ${advice}`}`,
  );
  throw new CommandError(faults.join("\n"));
}

/** Rows of a view that need not be configured, over a file or over events of the past. */
async function preview(line: CommandLine, tools: CommandTools): Promise<number> {
  const [nameOrText, ...more] = line.words;
  const file = line.own.get("file");
  const range = readRange([line.own.get("from"), line.own.get("to")]);
  if (typeof range === "string") throw new CommandError(range);
  if (nameOrText === undefined || more.length > 0 || (file !== undefined && range !== null))
    throw new CommandError(
      'write millrace preview NAME, or millrace preview "SELECT ...", with --from and --to or with --file',
    );
  const checked = await tools.configOf(line);
  const plan = await planOf(nameOrText, checked, tools);
  const config = await rehearsalConfig({ ...checked, plans: withLower(plan, checked.plans) });
  if (file !== undefined) {
    const rehearsal = rehearseFile(file, plan, config);
    show(rehearsal.rows(plan.name), rehearsal.counts(plan.name), tools);
    const refused = refusedText(rehearsal);
    if (refused !== null) tools.say(refused);
    return 0;
  }
  const { schema } = must(checked.schemas.get(plan.stream), `schema of ${plan.stream}`);
  const past = new Past(config.modules.fold, config.plans, schema);
  await tools.withClient(line, checked, async (client) => {
    // One position for all pages: events that come meanwhile are in none.
    const { position } = await client.ask(`SELECT 1 FROM ${quoteName(plan.stream)} LIMIT 0`);
    const where = [`_position <= ${position}`];
    const ask: Ask = async (sql) => (await client.ask(sql)).rows;
    await past.read(ask, { range, where });
    const { plans } = config;
    const order = { foldModule: config.modules.fold, plans, schema, range, position };
    show(await withReconciled(ask, order, past.rows()), past.counts, tools);
    const [[count] = []] = await ask(reconciledCountText(plans, range, position));
    const note = reconciledNote(plans, Number(count));
    if (note !== null) tools.say(note);
  });
  return 0;
}

function rehearseFile(
  file: string,
  plan: ViewPlan,
  config: RehearsalConfig,
): ReturnType<typeof rehearse> {
  const stream = must(
    config.streams.find(({ name }) => name === plan.stream),
    `stream ${plan.stream}`,
  );
  let text: string;
  if (statSync(file, { throwIfNoEntry: false })?.isDirectory() === true)
    throw new CommandError(`${file} is a folder; name a file with an event a line`);
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new CommandError(error instanceof Error ? error.message : String(error));
  }
  return rehearse(readEventLines(text), { stream, receivedAtUs: null, untilUs: null }, config);
}

function show(relation: Relation, counts: Readonly<ViewCounts>, tools: CommandTools): void {
  tools.say(tableText(shownRows(relation)));
  tools.say(previewSummary(relation, counts));
}
