// What a reconcile record says survives the log's bytes, images byte for byte and on a multiple of 8.
import { expect, test } from "bun:test";
import { decodeRecord, encodeRecord } from "../../src/log/codec.ts";
import { reconcileControl, reconcileControlOf } from "../../src/log/reconcile-control.ts";

test("a reconcile record and back", () => {
  const bytes = Uint8Array.from({ length: 1003 }, (_, at) => (at * 7) % 256);
  const said = {
    view: "v",
    fromUs: -62_135_596_800_000_000n,
    toUs: 253_402_300_800_000_000n,
    rawPosition: 2 ** 40,
    // a view into a larger buffer, as folds give images
    rows: [
      { view: "v", op: "upsert", rowCount: 3, image: bytes.subarray(3) },
      { view: "v_1h", op: "delete", rowCount: 1, image: bytes.slice(0, 16) },
    ],
  } as const;
  const draft = reconcileControl(said);
  const record = decodeRecord(
    encodeRecord({ kind: "control", position: 9, receivedAtUs: 5000, ...draft }),
  );
  if (record.kind !== "control") throw new Error("a control record");
  const back = reconcileControlOf(record);
  expect(back).toEqual({ ...said, rows: said.rows.map((row) => ({ ...row })) });
  for (const { image } of back?.rows ?? []) expect(image.byteOffset % 8).toBe(0);
  expect(reconcileControlOf({ ...record, control: "clock_tick" })).toBeNull();
});
