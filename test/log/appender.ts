// The child of crash.test.ts: appends records in a loop, prints each acknowledged position, trims now and then, until it is killed.
// Arguments: log folder, failpoint plan ("" for none).
import { writeSync } from "node:fs";
import { openDiskFiles } from "../../src/base/disk-files.ts";
import { encodeRecord } from "../../src/log/codec.ts";
import { openSqliteLogWriter } from "../../src/log/sqlite-log.ts";
import { recordAt } from "./records.ts";

const [folder = "", plan = ""] = process.argv.slice(2);
const writer = openSqliteLogWriter(folder, openDiskFiles(plan === "" ? null : plan), {
  jobId: "job",
  fileSizeBytes: 200_000,
  sizeMaxBytes: 1_000_000_000,
});
for (let position = writer.lastPosition + 1; ; position++) {
  writer.append([encodeRecord(recordAt(position))]);
  writeSync(1, `${position}\n`);
  if (position % 40 === 0) writer.trim(position - 30);
}
