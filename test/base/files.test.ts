// Runs the Files contract over both adapters, and the plan's parser.
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DiskFiles } from "../../src/base/disk-files.ts";
import { FAILPOINTS, parseFailpointPlan } from "../../src/base/failpoints.ts";
import { MemoryFiles } from "../../src/base/memory-files.ts";
import { filesContract } from "./files.contract.ts";

const root = mkdtempSync(join(tmpdir(), "millrace-files-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

filesContract("disk", (plan) => ({
  files: new DiskFiles(plan),
  folder: mkdtempSync(join(root, "t-")),
}));
filesContract("memory", (plan) => {
  const files = new MemoryFiles(plan === null ? {} : { plan });
  files.makeFolder("/work");
  return { files, folder: "/work" };
});

describe("failpoints", () => {
  test("parses plans and refuses the rest", () => {
    expect(parseFailpointPlan("log.append.after:kill")).toEqual({
      name: "log.append.after",
      countdown: 1,
      action: "kill",
    });
    expect(parseFailpointPlan("log.append.after:7:error").countdown).toBe(7);
    expect(parseFailpointPlan("log.append.after:enospc").action).toBe("ENOSPC");
    expect(parseFailpointPlan("files.free.measure:3-17:enospc")).toEqual({
      name: "files.free.measure",
      countdown: 3,
      last: 17,
      action: "ENOSPC",
    });
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
      "log.appendd.after:kill",
    ])
      expect(() => parseFailpointPlan(bad)).toThrow();
  });

  test("names are unique and dotted", () => {
    expect(new Set(FAILPOINTS).size).toBe(FAILPOINTS.length);
    for (const name of FAILPOINTS) expect(name).toMatch(/^[a-z]+(\.[a-z]+){1,3}$/);
  });

  test("those of files, log and checkpoint are the ones that the code reaches", () => {
    const source = join(import.meta.dir, "../../src");
    const reached = new Set<string>();
    for (const path of new Bun.Glob("{base,log,checkpoint}/*.ts").scanSync(source)) {
      if (path.endsWith("failpoints.ts") || path.endsWith("/files.ts")) continue;
      const text = readFileSync(join(source, path), "utf8");
      for (const [, name] of text.matchAll(/"((?:files|log|checkpoint)\.[a-z]+\.[a-z.]+)"/g))
        reached.add(name ?? "");
    }
    const listed = FAILPOINTS.filter((name) => /^(files|log|checkpoint)\./.test(name));
    expect([...reached].toSorted()).toEqual(listed.toSorted());
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
