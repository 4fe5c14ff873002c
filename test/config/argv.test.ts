import { expect, test } from "bun:test";
import { readCommandLine } from "../../src/config/argv.ts";
import type { CommandLine } from "../../src/config/argv.ts";

function read(line: string): CommandLine {
  const result = readCommandLine(line.split(" ").filter((word) => word !== ""));
  if (typeof result === "string") throw new Error(result);
  return result;
}

test("keys of the configuration are kept apart from the command's own flags", () => {
  const line = read("serve --config a.yaml --listen=:0 --log.size_max 1GB");
  expect(line.command).toBe("serve");
  expect([...line.own]).toEqual([["config", "a.yaml"]]);
  expect([...line.flags]).toEqual([
    ["listen", ":0"],
    ["log.size_max", "1GB"],
  ]);
});

test("words follow the command; help and version have flags too", () => {
  expect(read("play clicks --rate 5").words).toEqual(["clicks"]);
  expect(read("serve --help").command).toBe("help");
  expect(read("--version").command).toBe("version");
  expect(read("").command).toBe("help");
});

test.each([
  ["sevre", 'there is no command "sevre"; did you mean serve?'],
  ["backfill", "millrace backfill is not in this release"],
  ["serve -x", '"-x" is not a flag; write --name value'],
  ["serve --listen", "--listen has no value; write --listen VALUE"],
  ["serve --data --listen=:0", "--data has no value; write --data VALUE"],
  ["serve --data a --data b", "--data is given twice; leave one out"],
])("%s", (line, expected) => {
  expect(readCommandLine(line.split(" "))).toBe(expected);
});
