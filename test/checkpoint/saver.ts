// The child of store.test.ts: saves checkpoints in a loop and prints the number of each that is durable, until it is killed.
// Arguments: path of state.db, failpoint plan ("" for none).
import { writeSync } from "node:fs";
import { openDiskFiles } from "../../src/base/disk-files.ts";
import { openCheckpointStore } from "../../src/checkpoint/sqlite-store.ts";
import { changeAt } from "./changes.ts";

const [path = "", plan = ""] = process.argv.slice(2);
const store = openCheckpointStore(path, openDiskFiles(plan === "" ? null : plan), "job");
for (let n = (store.load().readers[0]?.position ?? 0) / 10 + 1; ; n++) {
  store.save(changeAt(n));
  writeSync(1, `${n}\n`);
}
