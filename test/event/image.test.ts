// Images written from values are read back as the same values, and corrupt ones are named errors.
import { expect, test } from "bun:test";
import { COLUMN_BYTES, COLUMN_VALUES_AT, IMAGE_HEADER_BYTES } from "../../kernels/abi.ts";
import {
  buildImage,
  imageRows,
  ImageError,
  type Cell,
  type ImageColumn,
} from "../../src/event/image.ts";

const COLUMNS: ImageColumn[] = [
  { name: "flag", type: { kind: "BOOLEAN" }, nullable: true },
  { name: "count", type: { kind: "INTEGER" }, nullable: false },
  { name: "id", type: { kind: "BIGINT" }, nullable: true },
  { name: "ratio", type: { kind: "DOUBLE" }, nullable: false },
  { name: "small", type: { kind: "FLOAT" }, nullable: false },
  { name: "money", type: { kind: "DECIMAL", precision: 38, scale: 2 }, nullable: true },
  { name: "plain", type: { kind: "VARCHAR" }, nullable: true },
  { name: "coded", type: { kind: "VARCHAR" }, nullable: true },
];

const ROWS: Cell[][] = [
  [true, 1, -5n, 0.1, 0.5, -(10n ** 37n), "ä", "x"],
  [null, -7, null, -0, 2, null, null, null],
  [false, 2 ** 31 - 1, 2n ** 63n - 1n, Number.MAX_VALUE, 1, 12345n, "", "y"],
  [true, 0, 0n, 1, 1, -1n, "long ".repeat(20), "x"],
];

test("values come back as they were written", () => {
  const image = buildImage(COLUMNS, ROWS, new Set([7]));
  expect(image.byteLength % 8).toBe(0);
  expect(imageRows(image, COLUMNS)).toEqual(ROWS);
});

test("an image without rows, and a dictionary of nulls only", () => {
  expect(imageRows(buildImage(COLUMNS, [], new Set([7])), COLUMNS)).toEqual([]);
  const column: ImageColumn[] = [{ name: "c", type: { kind: "VARCHAR" }, nullable: true }];
  expect(imageRows(buildImage(column, [[null], [null]], new Set([0])), column)).toEqual([
    [null],
    [null],
  ]);
});

test("corrupt bytes give a named error, never values", () => {
  const image = buildImage(COLUMNS, ROWS, new Set([7]));
  expect(() => imageRows(image.subarray(0, 16), COLUMNS)).toThrow(ImageError);
  expect(() => imageRows(image.subarray(0, image.byteLength - 8), COLUMNS)).toThrow(ImageError);
  expect(() => imageRows(image, COLUMNS.slice(1))).toThrow(ImageError);
  const outside = image.slice();
  const at = IMAGE_HEADER_BYTES + 2 * COLUMN_BYTES + COLUMN_VALUES_AT;
  new DataView(outside.buffer).setUint32(at, image.byteLength, true);
  expect(() => imageRows(outside, COLUMNS)).toThrow(ImageError);
});

test("random damage is either harmless or an ImageError", () => {
  const image = buildImage(COLUMNS, ROWS, new Set([7]));
  let errors = 0;
  for (let at = 0; at < image.byteLength; at++) {
    const damaged = image.slice();
    damaged[at] = 0xfb;
    try {
      imageRows(damaged, COLUMNS);
    } catch (error) {
      expect(error).toBeInstanceOf(ImageError);
      errors++;
    }
  }
  expect(errors).toBeGreaterThan(100);
});
