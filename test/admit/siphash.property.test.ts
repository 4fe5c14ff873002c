// sipHash128: the plain twin against published vectors, the kernel against the twin over id columns of every layout.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { hashIds } from "../../kernels/reference/hashids.ts";
import { sipHash128 } from "../../kernels/reference/siphash.ts";
import { buildImage, type Cell } from "../../src/event/image.ts";
import type { SqlType } from "../../src/event/schema.ts";
import { KEY, kernels } from "./fixture.ts";

function hex(hash: readonly [bigint, bigint]): string {
  return Buffer.from(new BigUint64Array(hash).buffer).toString("hex");
}

function count(bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => i);
}

test("the twin reproduces the vectors of SipHash-2-4-128 (vectors_sip128 of the reference implementation)", () => {
  const vectors: readonly (readonly [number, string])[] = [
    [0, "a3817f04ba25a8e66df67214c7550293"],
    [1, "da87c1d86b99af44347659119b22fc45"],
    [2, "8177228da4a45dc7fca38bdef60affe4"],
    [3, "9c70b60c5267a94e5f33b6b02985ed51"],
    [4, "f88164c12d9c8faf7d0f6e7c7bcd5579"],
    [5, "1368875980776f8854527a07690e9627"],
    [15, "5493e99933b0a8117e08ec0f97cfc3d9"],
  ];
  for (const [bytes, expected] of vectors)
    expect(hex(sipHash128(count(bytes), KEY, { compress: 2, finish: 4 }))).toBe(expected);
});

test("the twin reproduces the first vector of SipHash-1-3-128 of Rust's siphasher", () => {
  expect(hex(sipHash128(count(0), KEY))).toBe("e77ebcb22788a5befd62db6add303001");
});

/** One for all runs: each would take a memory of its own. */
const instance = kernels();

function kernelHashes(type: SqlType, ids: readonly Cell[], dictionary: boolean): (string | null)[] {
  const column = { name: "id", type, nullable: true };
  const image = buildImage(
    [column, column],
    ids.map((id) => [null, id]),
    new Set(dictionary ? [1] : []),
  );
  const at = instance.allocate(image.length);
  const to = instance.allocate(ids.length * 16);
  instance.u8().set(image, at);
  const entries = instance.allocate((ids.length + 1) * 16);
  instance.call.hashIds(at, 1, KEY.k0, KEY.k1, to, entries);
  return ids.map((id, row) => {
    const from = to + row * 16;
    return id === null ? null : Buffer.from(instance.u8().slice(from, from + 16)).toString("hex");
  });
}

function twinHashes(ids: readonly (string | bigint | number | null)[]): (string | null)[] {
  return hashIds(ids, KEY).map((hash) => (hash === null ? null : hex(hash)));
}

test("hashIds agrees with its twin on text, plain and dictionary", () => {
  const text = fc.oneof(fc.string({ unit: "grapheme", maxLength: 40 }), fc.uuid(), fc.constant(""));
  const ids = fc.array(fc.option(text, { freq: 6 }), { maxLength: 60 });
  fc.assert(
    fc.property(ids, fc.boolean(), (values, dictionary) => {
      expect(kernelHashes({ kind: "VARCHAR" }, values, dictionary)).toEqual(twinHashes(values));
    }),
    { numRuns: 60 },
  );
}, 180_000);

test("hashIds agrees with its twin on integers: 8 little-endian bytes of the value, whatever its width", () => {
  const i64 = fc.array(fc.option(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })), {
    maxLength: 40,
  });
  const i32 = fc.array(fc.option(fc.integer()), { maxLength: 40 });
  fc.assert(
    fc.property(i64, i32, (longs, ints) => {
      expect(kernelHashes({ kind: "BIGINT" }, longs, false)).toEqual(twinHashes(longs));
      expect(kernelHashes({ kind: "INTEGER" }, ints, false)).toEqual(twinHashes(ints));
    }),
    { numRuns: 60 },
  );
  expect(kernelHashes({ kind: "BIGINT" }, [0n, 0n], false)).toEqual(twinHashes([0, 0]));
}, 180_000);
