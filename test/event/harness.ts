// A decoder on a fresh kernel instance for tests, and the twin beside it.
import { join } from "node:path";
import { readFileSync } from "node:fs";
import { SCAN_PADDING_BYTES, VERDICT_ACCEPTED } from "../../kernels/abi.ts";
import { buildKernels } from "../../kernels/build.ts";
import type { DecodeKernels } from "../../kernels/decode.ts";
import { instantiate, type KernelInstance } from "../../kernels/host.ts";
import { Decoder, type DecodeCursor, type DecoderOptions } from "../../src/event/decode.ts";
import { imageRows, streamImageColumns, type Cell } from "../../src/event/image.ts";
import type { Reject } from "../../src/event/reject.ts";
import type { EventColumn, EventSchema } from "../../src/event/schema.ts";

await buildKernels(["decode"]);
const wasm = readFileSync(join(import.meta.dir, "../../build/decode.wasm"));

export const KEY = { k0: 1n, k1: 2n };

/** What a body gave, over all its batches. */
export interface Decoded {
  readonly rows: Cell[][];
  readonly indexes: number[];
  readonly rejects: Reject[];
  readonly batches: number;
}

export class Bench {
  readonly instance: KernelInstance<DecodeKernels> = instantiate<DecodeKernels>(wasm, 2 ** 28);
  readonly bodyAt: number;
  readonly targetAt: number;
  readonly #guards: number[];
  readonly decoder: Decoder;
  readonly schema: EventSchema;

  constructor(schema: EventSchema, options: DecoderOptions, bodyBytesMax = 4 * 1024 * 1024) {
    this.schema = schema;
    this.bodyAt = this.instance.allocate(bodyBytesMax + SCAN_PADDING_BYTES);
    const guards = [this.#guard()];
    this.targetAt = this.instance.allocate(options.imageBytesMax);
    guards.push(this.#guard());
    this.#guards = guards;
    this.decoder = new Decoder(this.instance, options);
    this.decoder.setSchema("s", schema);
  }

  /** Bytes that nobody may touch. */
  #guard(): number {
    const at = this.instance.allocate(64);
    this.instance.u8().fill(0xa5, at, at + 64);
    return at;
  }

  /** Throws when something was written where nothing belongs. */
  checkGuards(): void {
    for (const at of this.#guards)
      if (
        this.instance
          .u8()
          .subarray(at, at + 64)
          .some((byte) => byte !== 0xa5)
      )
        throw new Error(`bytes at ${at} were overwritten`);
  }

  put(body: Uint8Array, at = this.bodyAt): void {
    const bytes = this.instance.u8();
    bytes.set(body, at);
    // What lies behind a body is not the decoder's: make it as harmful as can be.
    bytes.fill(0x22, at + body.length, at + body.length + SCAN_PADDING_BYTES);
  }

  /** Decodes a body over as many batches as it needs. */
  decode(body: Uint8Array, format: "json" | "ndjson"): Decoded {
    this.put(body);
    const result: Decoded = { rows: [], indexes: [], rejects: [], batches: 0 };
    let cursor: DecodeCursor | null = null;
    let batches = 0;
    do {
      this.decoder.begin("s");
      const part = this.decoder.add({ address: this.bodyAt, bytes: body.length, format }, cursor);
      for (let row = 0; row < part.rowCount; row++)
        result.indexes.push(this.decoder.eventIndexOf(row));
      result.rejects.push(...part.rejects);
      result.rows.push(...this.seal(part.rowCount));
      cursor = part.cursor;
      batches++;
      this.checkGuards();
    } while (cursor !== null);
    return { ...result, batches };
  }

  /** Seals all rows of the batch and reads them back, without `_behind`. */
  seal(rowCount: number): Cell[][] {
    const verdicts = new Uint8Array(rowCount).fill(VERDICT_ACCEPTED);
    const sealed = this.decoder.seal(verdicts, null, this.targetAt);
    if (sealed.rowCount === 0) return [];
    const image = this.instance.u8().slice(this.targetAt, this.targetAt + sealed.storedBytes);
    return imageRows(image, streamImageColumns(this.schema)).map((row) => row.slice(0, -1));
  }
}

type Options = Partial<Pick<EventColumn, "nullable" | "decoding" | "defaultJson">>;

export function column(
  name: string,
  type: EventColumn["type"],
  options: Options = {},
): EventColumn {
  return { name, type, nullable: false, fieldId: 1, decoding: { kind: "plain" }, ...options };
}

/** Every type there is, in both nullabilities or with a default. `t` is the event time, `id` the id. */
export const EVERYTHING: EventSchema = {
  id: 1,
  eventTime: 0,
  eventId: 1,
  columns: [
    column("t", { kind: "TIMESTAMPTZ" }, { decoding: { kind: "epoch_us" } }),
    column("id", { kind: "VARCHAR" }, { nullable: true }),
    column("flag", { kind: "BOOLEAN" }, { nullable: true }),
    column("count", { kind: "INTEGER" }, { defaultJson: "-7" }),
    column("big_number", { kind: "BIGINT" }, { nullable: true }),
    column("ratio", { kind: "DOUBLE" }, { nullable: true }),
    column("small", { kind: "FLOAT" }, { nullable: true }),
    column("price", { kind: "DECIMAL", precision: 10, scale: 2 }, { nullable: true }),
    column("wide", { kind: "DECIMAL", precision: 38, scale: 4 }, { nullable: true }),
    column("day", { kind: "DATE" }, { nullable: true }),
    column("at_ms", { kind: "TIMESTAMPTZ" }, { nullable: true, decoding: { kind: "epoch_ms" } }),
    column(
      "kind",
      { kind: "VARCHAR" },
      {
        nullable: true,
        decoding: { kind: "enum", symbols: ["view", "cart", "purchase", "a_rather_long_symbol"] },
      },
    ),
    column(
      "a_member_with_a_rather_long_name_that_exceeds_all",
      { kind: "VARCHAR" },
      {
        defaultJson: '"dä\\"fault"',
      },
    ),
    column("note", { kind: "VARCHAR" }, { nullable: true }),
  ],
};
