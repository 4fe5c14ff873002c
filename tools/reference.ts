// Writes what derives from the configuration's table: the reference in README.md (between its two marks) and
// schemas/config.schema.json. Run after a change of src/config.ts; a test says when it was forgotten.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { configJsonSchema, referenceMarkdown } from "../src/config/help.ts";

const ROOT = join(import.meta.dir, "..");
const BEGIN = "<!-- begin of the configuration reference: tools/reference.ts -->";
const END = "<!-- end of the configuration reference -->";

const path = join(ROOT, "README.md");
const [before, rest] = readFileSync(path, "utf8").split(BEGIN);
const after = rest?.split(END)[1];
if (before === undefined || after === undefined)
  throw new Error(`README.md: a mark is missing: ${BEGIN}`);
writeFileSync(path, `${before}${BEGIN}\n\n${referenceMarkdown()}\n\n${END}${after}`);
writeFileSync(
  join(ROOT, "schemas", "config.schema.json"),
  `${JSON.stringify(configJsonSchema(), null, 2)}\n`,
);
