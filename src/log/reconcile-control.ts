// Codec: the body of a control record that reconciles a view: which final windows, up to which log position their raw events count,
// late ones included, and the rows that this changes. The rows were computed before the record was written (src/reconcile), so a replay
// changes the same rows without the raw events. JSON, 64-bit times as decimal text, images in base64.
import type { ControlRecord } from "./record.ts";

/** Rows that a record changes: a batch image of the view's output columns, then `revision`. */
export interface ReconciledRows {
  readonly view: string;
  /** As in ViewOutput (src/window/output.ts). */
  readonly op: "upsert" | "delete";
  readonly rowCount: number;
  readonly image: Uint8Array;
}

/** What such a record says. */
export interface ReconcileControl {
  /** The view whose windows are reconciled: no rollup. */
  readonly view: string;
  /** Windows that start in [fromUs, toUs). */
  readonly fromUs: bigint;
  readonly toUs: bigint;
  /** Late events of these windows at or below this log position count from now on. */
  readonly rawPosition: number;
  /** Of the view, and of its rollups. */
  readonly rows: readonly ReconciledRows[];
}

/** The record without its place in the log. */
export function reconcileControl(said: ReconcileControl): {
  readonly control: "reconcile";
  readonly stream: null;
  readonly body: string;
} {
  const rows = said.rows.map(({ image, ...row }) => ({
    ...row,
    image: Buffer.from(image.buffer, image.byteOffset, image.byteLength).toString("base64"),
  }));
  const times = { fromUs: said.fromUs.toString(), toUs: said.toUs.toString() };
  return { control: "reconcile", stream: null, body: JSON.stringify({ ...said, ...times, rows }) };
}

/** What a control record says of reconciled windows; null for the other kinds. */
export function reconcileControlOf({ control, body }: ControlRecord): ReconcileControl | null {
  if (control !== "reconcile") return null;
  // The record's checksum vouches for the shape: reconcileControl is the only writer.
  const said = JSON.parse(body) as Omit<ReconcileControl, "fromUs" | "toUs" | "rows"> & {
    readonly fromUs: string;
    readonly toUs: string;
    readonly rows: readonly (Omit<ReconciledRows, "image"> & { readonly image: string })[];
  };
  return {
    ...said,
    fromUs: BigInt(said.fromUs),
    toUs: BigInt(said.toUs),
    // Readers of images want them on a multiple of 8: a buffer of its own.
    rows: said.rows.map((row) => ({
      ...row,
      image: new Uint8Array(Buffer.from(row.image, "base64")),
    })),
  };
}
