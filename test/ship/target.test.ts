// Where a store is, as keys and flags say it: what no request could be made of is refused before there is one.
import { expect, test } from "bun:test";
import { checkShip } from "../../src/config/ship.ts";
import { readShipmentNumber, readShipTarget } from "../../src/ship/target.ts";

const KEYS = {
  to: "s3://bucket/prefix",
  endpoint: null,
  region: "us-east-1",
  pathStyle: false,
  intervalUs: 2,
  logIntervalUs: 1,
  keep: 2,
};

const PLACE = { source: "flag", line: null, column: null } as const;

test("flags of a restore are a target, or a sentence", () => {
  const read = (from: string, ...flags: readonly (readonly [string, string])[]): unknown =>
    readShipTarget(from, new Map(flags.map(([name, value]) => [`ship.${name}`, value])));
  const target = { bucket: "bucket", prefix: "a/b=1", endpoint: null, region: "us-east-1" };
  expect(read("s3://bucket/a/b=1")).toEqual({ ...target, pathStyle: false });
  expect(read("s3://bucket/a/b=1/")).toEqual({ ...target, pathStyle: false });
  for (const from of ["s3://bucket//a", "s3://bucket/größe", "s3://Bucket/a", "s3://bucket/a/../b"])
    expect(read(from)).toContain("is not a prefix of a bucket");
  expect(read("s3://bucket/a", ["region", "Süd"])).toBe('--ship.region "Süd" is not a region');
  expect(read("s3://bucket/a", ["path_style", "yes"])).toContain("neither on nor off");
  expect(read("s3://bucket/a", ["interval", "1s"])).toContain(
    "--ship.interval is not for a restore",
  );
  for (const host of ["127.0.0.1:9000", "[::1]:9000", "10.1"]) {
    const endpoint = ["endpoint", `http://${host}`] as const;
    expect(read("s3://bucket/a", endpoint)).toContain("write --ship.path_style=on");
    expect(read("s3://bucket/a", endpoint, ["path_style", "on"])).toMatchObject({
      pathStyle: true,
    });
    const faults = checkShip({ ...KEYS, endpoint: endpoint[1] }, () => PLACE);
    expect(faults.map(({ key }) => key)).toEqual(["ship.path_style"]);
  }
  expect(read("s3://bucket/a", ["endpoint", "http://minio:9000"])).toMatchObject({
    bucket: "bucket",
  });
});

test("a shipment's number is one", () => {
  expect(["7", "12345678", undefined].map(readShipmentNumber)).toEqual([7, 12_345_678, null]);
  for (const text of ["0", "-1", "1e3", "123456789", ""])
    expect(readShipmentNumber(text)).toContain("is not the number of a shipment");
});
