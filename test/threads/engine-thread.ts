// The real engine thread, without the others: the test holds the ports to log and export, and says when records are durable.
import { engineStreams } from "../../src/appliance.ts";
import { must } from "../../src/base/assert.ts";
import { openDiskFiles } from "../../src/base/disk-files.ts";
import { parseAvroSchema } from "../../src/event/avro.ts";
import { openDataFolder, type DataFolder } from "../../src/log/data-folder.ts";
import { checkConfig } from "../../src/serve/check.ts";
import type {
  EngineStart,
  EngineToExport,
  EngineToLog,
  EngineToMain,
  ExportToEngine,
  LogToEngine,
  MainToEngine,
} from "../../src/threads/messages.ts";
import { Slots } from "../../src/threads/slots.ts";

const SCHEMA = JSON.stringify({
  type: "record",
  name: "Hit",
  fields: [
    { name: "id", type: "string" },
    { name: "time", type: { type: "long", logicalType: "timestamp-micros" } },
  ],
});
const TEXT = `
streams:
  hits: { schema: hits.avsc, event_id: id, event_time: time, dedup_ttl: 1h }
checkpoint: { interval: 1h }
`;

async function startOf(folder: DataFolder): Promise<EngineStart> {
  const checked = await checkConfig(
    { configFlag: "millrace.yaml", workingFolder: "/", flags: new Map(), env: {} },
    {
      readText: (path) => (path.endsWith(".avsc") ? SCHEMA : TEXT),
      parseSchema: ({ text, eventTime, eventId }) => {
        const parsed = parseAvroSchema(text, { eventTime, eventId, id: 1 });
        if ("faults" in parsed) throw new Error(JSON.stringify(parsed.faults));
        return { kind: "schema", schema: parsed.schema };
      },
      parseView: () => Promise.reject(new Error("no view")),
    },
  );
  if (checked.kind === "faults") throw new Error(JSON.stringify(checked.faults));
  return {
    kind: "start engine",
    config: checked.config,
    streams: engineStreams(checked),
    views: checked.plans,
    configurationText: checked.record.body,
    dataFolder: folder.path,
    jobId: folder.jobId,
    idKey: folder.hashKey,
    onTableAhead: "refuse",
    failpoint: null,
    covered: [],
    writers: [],
    readers: [],
    lastReceivedAtUs: 0,
  };
}

export class EngineThread {
  /** What it has said so far. */
  readonly toMain: EngineToMain[] = [];
  readonly toLog: EngineToLog[] = [];
  readonly toExport: EngineToExport[] = [];
  readonly #folder: DataFolder;
  readonly #worker = new Worker(new URL("../../src/threads/engine.ts", import.meta.url).href);
  readonly #log = new MessageChannel();
  readonly #export = new MessageChannel();
  #said = (): void => {};
  #slots: Slots | null = null;
  #requests = 0;

  private constructor(folder: DataFolder) {
    this.#folder = folder;
    const into =
      <M>(list: M[]) =>
      ({ data }: { data: M }): void => {
        list.push(data);
        this.#said();
      };
    this.#worker.onmessage = into(this.toMain);
    this.#log.port1.onmessage = into(this.toLog);
    this.#export.port1.onmessage = into(this.toExport);
  }

  /** Resolves when it takes bodies; what it wrote to the log first is durable. */
  static async start(path: string): Promise<EngineThread> {
    const folder = openDataFolder(path, openDiskFiles(null));
    const thread = new EngineThread(folder);
    const ports = [thread.#log.port2, thread.#export.port2];
    thread.#worker.postMessage((await startOf(folder)) satisfies MainToEngine, ports);
    const { memory, slotsBase } = await thread.main("memory");
    thread.#slots = new Slots(memory, slotsBase);
    const { position } = await thread.main("started");
    thread.durable(Math.max(position, thread.written));
    return thread;
  }

  /** Resolves when `what` gives something. */
  async until<T>(what: () => T | undefined): Promise<T> {
    for (;;) {
      const found = what();
      if (found !== undefined) return found;
      const failed = this.toMain.find((message) => message.kind === "failed");
      if (failed !== undefined) throw new Error(failed.message);
      await new Promise<void>((resolve) => (this.#said = resolve));
    }
  }

  /** The first message of a kind to main from the `from`-th one on. */
  main<K extends EngineToMain["kind"]>(
    kind: K,
    from = 0,
  ): Promise<Extract<EngineToMain, { kind: K }>> {
    type Message = Extract<EngineToMain, { kind: K }>;
    const isIt = (message: EngineToMain): message is Message => message.kind === kind;
    return this.until(() => this.toMain.slice(from).find(isIt));
  }

  /** All that was told before is seen when it resolves. */
  async roundTrip(): Promise<void> {
    const from = this.toMain.length;
    this.tell({ kind: "pin", id: from, views: [], late: false, after: 0, mustReach: false });
    await this.main("pinned", from);
    this.tell({ kind: "release", id: from });
  }

  tell(message: MainToEngine): void {
    this.#worker.postMessage(message);
  }

  tellLog(message: LogToEngine): void {
    this.#log.port1.postMessage(message);
  }

  tellExport(message: ExportToEngine): void {
    this.#export.port1.postMessage(message);
  }

  durable(position: number): void {
    this.tellLog({ kind: "durable", position });
  }

  /** The last position that went to the log. */
  get written(): number {
    return this.toLog.reduce(
      (last, message) => (message.kind === "memory" ? last : message.position),
      0,
    );
  }

  /** Slots that were given back. */
  get emptied(): number {
    return this.toMain.reduce(
      (sum, message) => (message.kind === "emptied" ? sum + message.slots.length : sum),
      0,
    );
  }

  /** Hands over a body in a slot of its own. */
  submit(slot: number, text: string): void {
    const slots = must(this.#slots, "slots");
    const body = new TextEncoder().encode(text);
    const request = ++this.#requests;
    slots.empty(slot);
    const offer = { body: [body], bytes: body.length, format: "ndjson" } as const;
    if (!slots.put(slot, offer, { request, partition: 0 })) throw new Error("too large");
    this.tell({ kind: "submit", slot, parts: 1, stream: "hits", partitions: [""], keys: [] });
  }

  dispose(): void {
    this.#worker.terminate();
    for (const { port1 } of [this.#log, this.#export]) port1.close();
    this.#folder.close();
  }
}
