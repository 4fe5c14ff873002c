// What goes into which table: raw events, dead letters, outputs of views, each over a TableExport. Turns records and outputs into
// images with constants.
import { assert } from "../base/assert.ts";
import { buildImage, type Cell } from "../event/image.ts";
import type { Reject } from "../event/reject.ts";
import type { EventsRecord } from "../log/record.ts";
import type { ViewOutput } from "../window/output.ts";
import { DEAD_LETTER_IMAGE } from "./shapes.ts";
import type { TableExport } from "./table-export.ts";

/** Raw events of one stream. */
export class RawExport {
  readonly export: TableExport;
  readonly #stream: string;

  constructor(table: TableExport, stream: string) {
    this.export = table;
    this.#stream = stream;
  }

  /** Adds a record's accepted events; one that the ledger covers is dropped. The record's image must not change until the cut. */
  add(record: EventsRecord): void {
    assert(record.stream === this.#stream, `a record of ${this.#stream}, not of ${record.stream}`);
    this.export.add(record.position, record.image, record.rowCount, [
      BigInt(record.receivedAtUs),
      BigInt(record.position),
    ]);
  }
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A reject as a row of DEAD_LETTER_IMAGE. */
export function deadLetterRow(receivedAtUs: number, reject: Reject): Cell[] {
  let raw: string | null = null;
  try {
    raw = UTF8.decode(reject.raw);
  } catch {
    // not UTF-8: the bytes go to raw_base64
  }
  const base64 = raw === null ? Buffer.from(reject.raw).toString("base64") : null;
  const { index, reason, field, message } = reject;
  return [BigInt(receivedAtUs), index, reason, field, message, raw, base64];
}

/** Dead letters of all streams. */
export class DeadLetterExport {
  readonly export: TableExport;

  constructor(table: TableExport) {
    this.export = table;
  }

  /** Adds a record's rejects; one that the ledger covers is dropped. */
  add(record: EventsRecord): void {
    if (record.rejects.length === 0 || this.export.covers(record.position)) return;
    const rows = record.rejects.map((reject) => deadLetterRow(record.receivedAtUs, reject));
    this.export.add(record.position, buildImage(DEAD_LETTER_IMAGE, rows), rows.length, [
      record.stream,
      BigInt(record.position),
    ]);
  }
}

/** Closed windows or late events of one view. */
export class OutputExport {
  readonly export: TableExport;
  readonly #view: string;
  readonly #kind: ViewOutput["kind"];

  constructor(table: TableExport, view: string, kind: ViewOutput["kind"]) {
    this.export = table;
    this.#view = view;
    this.#kind = kind;
  }

  /** Adds an output; one that the ledger covers is dropped. Its image must not change until the cut. */
  add(output: ViewOutput): void {
    assert(output.view === this.#view, `an output of ${this.#view}, not of ${output.view}`);
    assert(output.kind === this.#kind, `${this.#kind}, not ${output.kind}`);
    const { position, image, rowCount } = output;
    if (output.op === undefined) this.export.add(position, image, rowCount, [this.#view]);
    else this.export.change(position, output);
  }
}
