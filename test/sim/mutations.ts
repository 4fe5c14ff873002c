// Bugs that are planted to prove that the simulator finds them: each a change of the product's text as it is loaded (patches.ts), of the kind that a
// tired engineer makes. sim.test.ts expects a broken rule within SEEDS_MAX seeds from the first on, whatever they are: every change of the product's
// timing makes other runs of the same seeds. A bug shows in one of two to six of the dense runs of its temper (draw-faults.ts).
import type { Temper } from "./draw-faults.ts";
import type { Patch } from "./patches.ts";

export interface Mutation {
  readonly name: string;
  /** What the faults of the runs are about in which it is looked for. */
  readonly temper: Temper;
  /** It shows only where requests have keys. */
  readonly isKeyed?: true;
  readonly patches: readonly Patch[];
}

/** Seeds that may be needed. */
export const SEEDS_MAX = 40;

function one(file: string, find: string, replace: string, count = 1): readonly Patch[] {
  return [{ file, find, replace, count }];
}

const RECORD_APPEND = "    this.#writer.append(records);\n";
const TOLD_ENGINE = "    this.#engine.postMessage(durable);\n";

export const MUTATIONS: readonly Mutation[] = [
  {
    name: "acknowledged before the log is synced",
    temper: "log",
    patches: one("src/log/log-file.ts", "PRAGMA synchronous = FULL", "PRAGMA synchronous = OFF"),
  },
  {
    name: "acknowledged before the log is written",
    temper: "log",
    patches: [
      { file: "src/threads/log.ts", find: RECORD_APPEND, replace: "" },
      { file: "src/threads/log.ts", find: TOLD_ENGINE, replace: `${RECORD_APPEND}${TOLD_ENGINE}` },
    ],
  },
  {
    name: "a log that failed goes on",
    temper: "log",
    patches: one(
      "src/log/sqlite-log.ts",
      "      throw this.#latch(error);\n    }\n    this.#lastPosition",
      "      void error;\n    }\n    this.#lastPosition",
    ),
  },
  {
    name: "a new log file is renamed and its folder is not synced",
    temper: "log",
    patches: one(
      "src/base/disk-files.ts",
      "      renameSync(from, to);\n      syncPath(dirname(to));",
      "      renameSync(from, to);",
    ),
  },
  {
    name: "a duplicate is answered before the first is durable",
    temper: "log",
    patches: one(
      "src/engine.ts",
      "if (rowCount + duplicateCount + rejects.length === 0)\n      return",
      "if (rowCount + rejects.length === 0)\n      return",
    ),
  },
  {
    name: "the end of a body is answered before its beginning is durable",
    temper: "mixed",
    patches: one("src/threads/engine.ts", "cursor === null ? 0 : this.#engine.lastPosition", "0"),
  },
  {
    name: "a body is answered with its first part",
    temper: "mixed",
    patches: one("src/threads/gateway.ts", "    if (!outcome.done) return;\n", ""),
  },
  {
    name: "the log's time follows a clock that is put back",
    temper: "clock",
    patches: one(
      "src/engine.ts",
      "return Math.max(this.#receivedAtUs, Math.floor(nowUs / 1000) * 1000);",
      "return Math.floor(nowUs / 1000) * 1000;",
    ),
  },
  {
    name: "ids since the last checkpoint are not saved",
    temper: "state",
    patches: one("src/engine-state.ts", "segments: ids.segments,", "segments: [],"),
  },
  {
    name: "a replay does not repeat ids",
    temper: "state",
    patches: one(
      "src/engine.ts",
      "this.admission.replay(stream.name, { ...record, eventTime, eventId });",
      "",
    ),
  },
  {
    name: "the watermark is not in the checkpoint",
    temper: "state",
    patches: one(
      "src/admit/admission.ts",
      "stream.restoreTimes(times.clock, times.receivedAtMs);",
      "",
    ),
  },
  {
    name: "accounts are not in the checkpoint",
    temper: "state",
    patches: one(
      "src/engine-state.ts",
      "if (accounting !== null) engine.accounting.restore(accounting);",
      "",
    ),
  },
  {
    name: "a dirty page is not saved",
    temper: "state",
    patches: one(
      "src/engine-state.ts",
      "pages: views.pages.map(",
      "pages: views.pages.slice(1).map(",
    ),
  },
  {
    name: "views' position is saved ahead of their state",
    temper: "state",
    patches: one(
      "src/engine-state.ts",
      "{ name: WINDOWS_READER, position: folded, body: views.body }",
      "{ name: WINDOWS_READER, position: lastPosition, body: views.body }",
    ),
  },
  {
    name: "rows that wait for their table are not in the checkpoint",
    temper: "state",
    patches: one("src/engine-state.ts", "outputs: views.outputs,", "outputs: [],"),
  },
  {
    name: "a checkpoint is saved in two transactions",
    temper: "state",
    patches: one(
      "src/checkpoint/sqlite-store.ts",
      "    this.#insertReaders(change.readers);\n",
      '    this.#insertReaders(change.readers);\n    this.#database.run("COMMIT");\n    this.#database.run("BEGIN IMMEDIATE");\n',
    ),
  },
  {
    name: "a checkpoint is saved before its records are durable",
    temper: "slow",
    patches: one(
      "src/threads/engine-checkpoints.ts",
      "if (taken === null || taken.position > position) return;",
      "if (taken === null) return;",
    ),
  },
  {
    name: "checkpoints are not synced",
    temper: "state",
    patches: one(
      "src/checkpoint/sqlite-store.ts",
      "PRAGMA synchronous = FULL",
      "PRAGMA synchronous = OFF",
    ),
  },
  {
    name: "the log is trimmed beyond the checkpoint",
    temper: "state",
    patches: one(
      "src/threads/export.ts",
      "trimPosition([this.#checkpointed, ...readers, ...this.#holds.values()])",
      "trimPosition(readers)",
    ),
  },
  {
    name: "the ledger's position is not looked at when rows come again",
    temper: "ledger",
    patches: one(
      "src/table/table-export.ts",
      "return position <= this.#position;",
      "return false;",
    ),
  },
  {
    name: "late rows are put out again by a replay",
    temper: "ledger",
    patches: one(
      "src/table/table-export.ts",
      "    this.#position = covered.position;\n",
      '    this.#position = target.spec.name === "late_events" ? 0 : covered.position;\n',
    ),
  },
  {
    name: "rows that could not be written count as covered",
    temper: "away",
    patches: one(
      "src/table/exporter.ts",
      "covered.push({ view, output, position: table.position, epoch: table.epoch });",
      "covered.push({ view, output, position: upTo, epoch: table.epoch });",
    ),
  },
  {
    name: "an epoch's files and its writer's position are two transactions",
    temper: "ledger",
    patches: one(
      "src/table/ledger.ts",
      "      this.#setWriter(table, last.writer, last);\n    });\n  }\n\n  #insert(",
      '    });\n    this.#transaction("record", () => this.#setWriter(table, last.writer, last));\n  }\n\n  #insert(',
    ),
  },
  {
    name: "the ledger is not synced",
    temper: "ledger",
    patches: one("src/table/ledger.ts", "PRAGMA synchronous = FULL", "PRAGMA synchronous = OFF"),
  },
  {
    name: "data files are not synced",
    temper: "ledger",
    patches: one(
      "src/base/disk-files.ts",
      "        fsyncSync(file);\n      } finally",
      "      } finally",
    ),
  },
  {
    name: "the marker of a table is forgotten",
    temper: "tables",
    patches: one(
      "src/table/metadata.ts",
      "(best, marker) => (marker !== null && marker.epoch > (best?.epoch ?? -1) ? marker : best),",
      "(best) => best,",
    ),
  },
  {
    name: "an epoch is committed twice",
    temper: "tables",
    patches: [
      ...one(
        "src/table/iceberg-table.ts",
        "      if (known !== null && known.epoch > committed) {\n",
        "      if (known === undefined) {\n",
      ),
      ...one(
        "src/table/settle.ts",
        "    ledger.markCommitted(name, decision.committedTo, 0);\n",
        "",
      ),
    ],
  },
  {
    name: "a commit that is found counts as committed before its name is synced",
    temper: "tables",
    patches: one(
      "src/table/iceberg-table.ts",
      '    this.#files.sync(this.#metadata.folder, "table.recover.sync");\n',
      "",
    ),
  },
  {
    name: "an epoch counts as committed before it is",
    temper: "tables",
    patches: one(
      "src/table/tables.ts",
      "        const result = this.#commit(name, table.iceberg, pending);\n",
      "        this.#ledger.markCommitted(name, last.epoch, 1);\n        const result = this.#commit(name, table.iceberg, pending);\n",
    ),
  },
  {
    name: "answers of keyed requests are written in a transaction of their own",
    temper: "log",
    isKeyed: true,
    patches: one(
      "src/threads/log.ts",
      RECORD_APPEND,
      "    for (const record of records) this.#writer.append([record]);\n",
    ),
  },
  {
    name: "a replay does not repeat answers of keyed requests",
    temper: "state",
    isKeyed: true,
    patches: one(
      "src/engine.ts",
      'this.answers.keep(record.stream ?? "", record.receivedAtUs, answers);',
      "void answers;",
    ),
  },
  {
    name: "answers of keyed requests are not in the checkpoint",
    temper: "state",
    isKeyed: true,
    patches: one(
      "src/engine-state.ts",
      "    ...answers,\n",
      "    ...answers,\n    keptAnswers: [],\n",
    ),
  },
  {
    name: "a key is free before its answer is durable",
    temper: "network",
    isKeyed: true,
    patches: one(
      "src/threads/gateway.ts",
      "if (place !== null && this.#inWork.has(place)) return reply(IN_WORK);",
      "",
    ),
  },
  {
    name: "only the current snapshot is asked for the marker",
    temper: "others",
    patches: one(
      "src/table/metadata.ts",
      '    ...listAt(metadata, "snapshots").map((snapshot) => readMarker(objectAt(snapshot, "summary"))),\n    readMarker(objectAt(metadata, "properties")),\n',
      '    readMarker(objectAt(currentSnapshot(metadata) ?? { summary: {} }, "summary")),\n',
    ),
  },
  {
    name: "a commit takes the place of another program's",
    temper: "others",
    patches: one(
      "src/table/iceberg-table.ts",
      '      if (!this.#files.linkExclusive(temporary, path, "table.metadata.link")) return false;\n',
      '      this.#files.renameOver(temporary, path, "table.metadata.link");\n',
    ),
  },
  {
    name: "a question sees files that came after its images",
    temper: "threads",
    patches: one(
      "src/table/tables.ts",
      "return epoch <= last && (removedEpoch",
      "return (removedEpoch",
    ),
  },
  {
    name: "the log is trimmed under a question",
    temper: "mixed",
    patches: one(
      "src/threads/export.ts",
      "trimPosition([this.#checkpointed, ...readers, ...this.#holds.values()])",
      "trimPosition([this.#checkpointed, ...readers])",
    ),
  },
  {
    name: "what comes during a savepoint is forgotten",
    temper: "others",
    patches: one(
      "src/threads/export.ts",
      "    for (const message of waiting) this.#onEngine(message);\n",
      "    void waiting;\n",
    ),
  },
  {
    name: "files are unlinked while a savepoint copies them",
    temper: "others",
    patches: one("src/threads/export.ts", "    this.#files.hold();\n", ""),
  },
];
