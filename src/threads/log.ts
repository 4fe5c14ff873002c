// The log thread: takes every record that is ready, encodes them (zstd), appends them in one transaction, syncs, tells engine and main,
// and looks again: group commit without timers. Wiring only.
import { must } from "../base/assert.ts";
import { openDiskFiles } from "../base/disk-files.ts";
import { encodeRecord } from "../log/codec.ts";
import { ImagePacker } from "../log/image-pack.ts";
import type { EncodedRecord } from "../log/log.ts";
import { openSqliteLogWriter, type SqliteLogWriter } from "../log/sqlite-log.ts";
import { logFolderOf } from "../log/data-folder.ts";
import type { EngineToLog, LogToEngine, LogToMain, MainToLog, ThreadStart } from "./messages.ts";
import { FailureLatch } from "./worker.ts";
import { IMAGES_BYTES } from "../limits.ts";

declare const self: Worker;

/** How often the disk's free room is looked at: others fill and free it while the log is idle, and an idle log tells nothing else. */
const DISK_INTERVAL_MS = 1000;

const toMain = (message: LogToMain): void => self.postMessage(message);
const latch = new FailureLatch(toMain);

class LogThread {
  readonly #writer: SqliteLogWriter;
  readonly #engine: MessagePort;
  readonly #packer = new ImagePacker();
  #memory: Uint8Array = new Uint8Array(0);
  #ready: Exclude<EngineToLog, { kind: "memory" }>[] = [];
  #scheduled = false;
  #hadRoom: boolean;

  constructor(start: ThreadStart, engine: MessagePort) {
    const files = openDiskFiles(start.failpoint);
    this.#writer = openSqliteLogWriter(logFolderOf(start.dataFolder), files, {
      jobId: start.jobId,
      fileSizeBytes: start.config.settings.log.fileSizeBytes,
      sizeMaxBytes: start.config.settings.log.sizeMaxBytes,
      discard: (firsts) => toMain({ kind: "discard", firsts }),
    });
    this.#engine = engine;
    engine.onmessage = ({ data }: { data: EngineToLog }) => latch.run(() => this.#take(data));
    const { lastPosition: last, lastReceivedAtUs } = this.#writer;
    const room = this.#room();
    this.#hadRoom = room.hasRoom;
    toMain({ kind: "started", last, lastReceivedAtUs, ...room });
    setInterval(() => latch.run(() => this.#lookAtDisk()), DISK_INTERVAL_MS);
  }

  trim(position: number): void {
    this.#writer.trim(position);
    toMain({ kind: "room", ...this.#room() });
  }

  stop(): void {
    this.#append();
    this.#writer.close();
    toMain({ kind: "stopped" });
  }

  #take(message: EngineToLog): void {
    if (message.kind === "memory") {
      this.#memory = new Uint8Array(message.memory);
      return;
    }
    this.#ready.push(message);
    if (this.#scheduled) return;
    this.#scheduled = true;
    latch.later(() => this.#append());
  }

  #append(): void {
    this.#scheduled = false;
    const ready = this.#ready;
    if (ready.length === 0) return;
    this.#ready = [];
    const records = ready.flatMap((message) => this.#encode(message));
    this.#writer.append(records);
    const { position } = must(records.at(-1), "a record");
    const answers = ready.flatMap((message) =>
      message.kind === "events" ? [{ position: message.position, answers: message.answers }] : [],
    );
    // Main first: senders wait for it, the fold has time.
    toMain({ kind: "durable", position, answers, ...this.#room() });
    const durable: LogToEngine = { kind: "durable", position };
    this.#engine.postMessage(durable);
  }

  /** Whether what may be under way fits: every image that can be in flight. */
  #room(): { readonly sizeBytes: number; readonly hasRoom: boolean } {
    return {
      sizeBytes: this.#writer.sizeBytes(),
      hasRoom: this.#writer.hasRoom(IMAGES_BYTES),
    };
  }

  #lookAtDisk(): void {
    this.#writer.measureDisk();
    const room = this.#room();
    if (room.hasRoom !== this.#hadRoom) toMain({ kind: "room", ...room });
    this.#hadRoom = room.hasRoom;
  }

  /** The records of a message: in one transaction, whatever else is in it. */
  #encode(message: Exclude<EngineToLog, { kind: "memory" }>): EncodedRecord[] {
    if (message.kind === "control") return [encodeRecord(message)];
    const { address, storedBytes, answers: _, kept, ...record } = message;
    const image = this.#memory.subarray(address, address + storedBytes);
    const events = encodeRecord({ ...record, image }, this.#packer);
    return kept === null ? [events] : [events, encodeRecord(kept)];
  }
}

let thread: LogThread | null = null;

self.onmessage = (event: MessageEvent<MainToLog>) =>
  latch.run(() => {
    const message = event.data;
    if (message.kind === "start")
      thread = new LogThread(message, must(event.ports[0], "the port to the engine"));
    else if (message.kind === "trim") must(thread, "log thread").trim(message.position);
    else must(thread, "log thread").stop();
  });
