// Runs the Files contract over both adapters, and the plan's parser.
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DiskFiles } from "../../src/base/disk-files.ts";
import {
  FAILPOINTS,
  FailpointPlanError,
  parseFailpointPlans,
  STEPS,
} from "../../src/base/failpoints.ts";
import { MemoryFiles } from "../../src/base/memory-files.ts";
import { filesContract } from "./files.contract.ts";

const root = mkdtempSync(join(tmpdir(), "millrace-files-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

filesContract("disk", (plan) => ({
  files: new DiskFiles(...(plan === null ? [] : [plan])),
  folder: mkdtempSync(join(root, "t-")),
}));
filesContract("memory", (plan) => {
  const files = new MemoryFiles(plan === null ? {} : { plan });
  files.makeFolder("/work");
  return { files, folder: "/work" };
});

describe("failpoints", () => {
  test("parses plans and refuses the rest", () => {
    expect(parseFailpointPlans("log.append.after:kill")).toEqual([
      { name: "log.append.after", countdown: 1, action: "kill" },
    ]);
    expect(parseFailpointPlans("log.append.after:7:error")[0]?.countdown).toBe(7);
    expect(parseFailpointPlans("log.append.after:enospc")[0]?.action).toBe("ENOSPC");
    expect(parseFailpointPlans("log.append.after:1-9:wait200")[0]?.action).toEqual({ waitMs: 200 });
    expect(parseFailpointPlans("files.free.measure:3-17:enospc,log.roll.before:kill@/a/b")).toEqual(
      [
        { name: "files.free.measure", countdown: 3, last: 17, action: "ENOSPC" },
        { name: "log.roll.before", countdown: 1, action: "kill", while: "/a/b" },
      ],
    );
    for (const bad of [
      "log.append.after:3-2:eio",
      "log.append.after:3-:eio",
      "log.append.after:1-2-3:eio",
      "",
      "log.append.after",
      "log.append.after:0:kill",
      "log.append.after:x:kill",
      "log.append.after:1:kill:2",
      "log.append.after:1:boom",
      "log.append.after:1:kill@",
      "log.append.after:1:kill,",
      "log.append:kill",
      "log.roll.inside:kill",
      "log.appendd.after:kill",
    ])
      expect(() => parseFailpointPlans(bad)).toThrow(FailpointPlanError);
  });

  test("names are unique and dotted", () => {
    expect(new Set(FAILPOINTS).size).toBe(FAILPOINTS.length);
    for (const name of FAILPOINTS) expect(name).toMatch(/^[a-z]+(\.[a-z]+){1,4}$/);
  });

  test("the code takes every step that is listed", () => {
    const source = join(import.meta.dir, "../../src");
    const text = [...new Bun.Glob("**/*.ts").scanSync(source)]
      .filter((path) => path !== "base/failpoints.ts")
      .map((path) => readFileSync(join(source, path), "utf8"))
      .join("");
    // those of the ledger and of a commit are made of two parts
    const made = /^table\.(ledger\.(?!make|recover)|(manifest|merged|reduced|list)\.write)/;
    for (const step of Object.keys(STEPS)) if (!made.test(step)) expect(text).toContain(`"${step}`);
  });

  test("a plan holds while there is a file, and counts from then on", () => {
    const path = join(root, "armed");
    const plan = { name: "log.roll.before", countdown: 2, action: "EIO", while: path } as const;
    const files = new DiskFiles(plan);
    for (let time = 0; time < 5; time++) files.reach("log.roll.before");
    writeFileSync(path, "");
    files.reach("log.roll.before");
    expect(() => files.reach("log.roll.before")).toThrow("EIO");
    rmSync(path);
    files.reach("log.roll.before");
  });

  test("kill ends the process at the step", () => {
    const script = `
      import { DiskFiles } from ${JSON.stringify(join(import.meta.dir, "../../src/base/disk-files.ts"))};
      const files = new DiskFiles({ name: "log.append.before", countdown: 2, action: "kill" });
      files.reach("log.append.before"); console.log("one");
      files.reach("log.append.before"); console.log("two");`;
    const child = Bun.spawnSync([process.execPath, "--no-install", "-e", script]);
    expect(child.signalCode).toBe("SIGKILL");
    expect(child.stdout.toString()).toBe("one\n");
  });
});
