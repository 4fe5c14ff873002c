// Properties of packed images: every byte comes back, whatever the bytes are, and what a packed image is for holds.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { COLUMN_BYTES, IMAGE_HEADER_BYTES } from "../../kernels/abi.ts";
import { must } from "../../src/base/assert.ts";
import { compressIfItPays } from "../../src/base/zstd.ts";
import { buildImage, type Cell, type ImageColumn } from "../../src/event/image.ts";
import { ImagePacker, unpackImage } from "../../src/log/image-pack.ts";

const COLUMNS: readonly ImageColumn[] = [
  { name: "flag", type: { kind: "BOOLEAN" }, nullable: true },
  { name: "small", type: { kind: "INTEGER" }, nullable: false },
  { name: "at", type: { kind: "BIGINT" }, nullable: true },
  { name: "price", type: { kind: "DOUBLE" }, nullable: false },
  { name: "sum", type: { kind: "DECIMAL", precision: 38, scale: 2 }, nullable: false },
  { name: "id", type: { kind: "VARCHAR" }, nullable: false },
  { name: "page", type: { kind: "VARCHAR" }, nullable: true },
  { name: "brand", type: { kind: "VARCHAR" }, nullable: true },
];
const BRAND = 7;
const TEXT: readonly ImageColumn[] = [{ name: "t", type: { kind: "VARCHAR" }, nullable: false }];

/** Rows from a seed: `width` bytes of ids, `brands` dictionary entries, some nulls. */
function rows(options: {
  rowCount: number;
  width: number;
  brands: number;
  seed: number;
}): Cell[][] {
  let state = options.seed;
  const next = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return (state >>> 8) % below;
  };
  return Array.from({ length: options.rowCount }, () => [
    next(3) === 0 ? null : next(2) === 0,
    next(1000),
    next(5) === 0 ? null : BigInt(next(1_000_000)),
    next(10_000) / 100,
    BigInt(next(1_000_000)) - 500_000n,
    String(next(1_000_000)).padStart(options.width, "0"),
    next(4) === 0 ? null : "/page".repeat(next(6)),
    next(9) === 0 ? null : `brand-${next(options.brands)}`,
  ]);
}

function concatenated(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

const packer = new ImagePacker();

/** The bytes of the packed form, checked to give the image back. */
function packedOf(image: Uint8Array): Uint8Array {
  const packed = concatenated(must(packer.pack(image), "packed form"));
  expect(Buffer.compare(unpackImage(packed, image.length), image)).toBe(0);
  return packed;
}

const shape = fc.record({
  rowCount: fc.integer({ min: 300, max: 700 }),
  width: fc.integer({ min: 1, max: 300 }),
  brands: fc.integer({ min: 1, max: 600 }),
  seed: fc.integer(),
});

describe("a packed image", () => {
  test("comes back byte for byte, from memory that is used again", () => {
    fc.assert(
      fc.property(shape, fc.boolean(), (options, hasDictionary) => {
        const dictionaries = new Set(hasDictionary ? [BRAND] : []);
        packedOf(buildImage(COLUMNS, rows(options), dictionaries));
      }),
      { numRuns: 60 },
    );
  });

  test("equal images are equal bytes, whatever was packed before", () => {
    fc.assert(
      fc.property(shape, shape, (one, other) => {
        const image = buildImage(COLUMNS, rows(one), new Set([BRAND]));
        const packed = packedOf(image);
        packedOf(buildImage(COLUMNS, rows(other), new Set()));
        expect(packedOf(image)).toEqual(packed);
        expect(concatenated(must(new ImagePacker().pack(image), "packed form"))).toEqual(packed);
      }),
      { numRuns: 30 },
    );
  });

  test("comes back whatever its header and descriptors say", () => {
    const image = buildImage(
      COLUMNS,
      rows({ rowCount: 300, width: 20, brands: 40, seed: 1 }),
      new Set([BRAND]),
    );
    const end = IMAGE_HEADER_BYTES + COLUMNS.length * COLUMN_BYTES;
    const change = fc.tuple(
      // behind the magic number, without which it is no image
      fc.integer({ min: 1, max: end / 4 - 1 }),
      fc.oneof(
        fc.integer({ min: 0, max: image.length + 8 }),
        fc.integer({ min: 0, max: 0xffff_ffff }),
      ),
    );
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), (changes) => {
        const changed = image.slice();
        for (const [word, value] of changes)
          new DataView(changed.buffer).setUint32(word * 4, value, true);
        const parts = packer.pack(changed);
        if (parts === null) return;
        expect(Buffer.compare(unpackImage(concatenated(parts), changed.length), changed)).toBe(0);
      }),
      { numRuns: 2000 },
    );
  });

  test.each([254, 255, 256, 65_535, 65_536, 70_000])("texts of %i bytes", (bytes) => {
    const cells = Array.from({ length: 60 }, (_, row) => ["x".repeat(row === 17 ? bytes : 300)]);
    packedOf(buildImage(TEXT, cells, new Set()));
  });

  test.each([255, 256, 257, 65_535, 65_536, 65_537])("dictionaries of %i entries", (entries) => {
    const cells = Array.from({ length: Math.max(entries, 4000) }, (_, row) => [`${row % entries}`]);
    packedOf(buildImage(TEXT, cells, new Set([0])));
  });

  test.each([1, 3, 4, 5, 6, 7, 8, 17, 255, 256, 257])("texts that are all of %i bytes", (width) => {
    for (const varying of [0, 1, 2, 15, 16, 17, width]) {
      const cells = Array.from({ length: 9000 / width + 3000 }, (_, row) => [
        Array.from({ length: width }, (_byte, at) =>
          String.fromCharCode(
            97 + ((width - 1 - at < varying ? row * (at + 1) + (row >> 4) : at) % 26),
          ),
        ).join(""),
      ]);
      packedOf(buildImage(TEXT, cells, new Set()));
    }
  });

  test("in shared memory, at any multiple of 8, is read and left as it is", () => {
    const image = buildImage(
      COLUMNS,
      rows({ rowCount: 500, width: 36, brands: 9, seed: 4 }),
      new Set([BRAND]),
    );
    const shared = new Uint8Array(new SharedArrayBuffer(image.length + 48)).subarray(24);
    shared.set(image);
    const view = shared.subarray(0, image.length);
    expect(packedOf(view)).toEqual(packedOf(image));
    expect(Buffer.compare(view, image)).toBe(0);
  });
});

describe("what packing is for", () => {
  test("lengths that are all the same take nothing, codes of few entries a byte at most", () => {
    const cells = Array.from({ length: 4000 }, (_, row) => [
      `${100_000 + ((row * 7919) % 90_000)}`,
    ]);
    const image = buildImage(TEXT, cells, new Set());
    const one = must(compressIfItPays(image), "a frame").length;
    expect(packedOf(image).length).toBeLessThan(one - 4000);
    const coded = buildImage(
      TEXT,
      cells.map((_, row) => [`b${(row * row) % 251}`]),
      new Set([0]),
    );
    expect(packedOf(coded).length).toBeLessThan(4000 + 2000);
  });

  test("texts of one length take what differs in them only", () => {
    const cells = Array.from({ length: 4000 }, (_, row) => [
      `72d76fde-8bb3-4e00-${(row * 40_503).toString(16).padStart(8, "0").slice(-4)}`,
    ]);
    const image = buildImage(TEXT, cells, new Set());
    // four hexadecimal digits a row, half a byte each, and little else
    expect(packedOf(image).length).toBeLessThan(4000 * 2.1);
  });

  test("what is small, or no image, is not packed", () => {
    expect(packer.pack(buildImage(TEXT, [["x"]], new Set()))).toBeNull();
    expect(packer.pack(new Uint8Array(20_000))).toBeNull();
  });

  test("cut or lengthened bytes are refused", () => {
    const image = buildImage(
      COLUMNS,
      rows({ rowCount: 500, width: 36, brands: 9, seed: 4 }),
      new Set([BRAND]),
    );
    const packed = packedOf(image);
    expect(() => unpackImage(packed.subarray(0, -1), image.length)).toThrow();
    expect(() => unpackImage(new Uint8Array([...packed, 0]), image.length)).toThrow();
    expect(() => unpackImage(packed, image.length + 8)).toThrow();
  });
});
