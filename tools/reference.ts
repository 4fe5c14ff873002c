// Writes what derives from tables in the code: the configuration's reference in README.md and schemas/config.schema.json (src/config.ts), and
// the rules of time in ARCHITECTURE.md (src/time/rules.ts). Run after a change of one; tests say when it was forgotten.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { configJsonSchema, referenceMarkdown } from "../src/config/help.ts";
import { timeRulesMarkdown } from "../src/time/rules.ts";

const ROOT = join(import.meta.dir, "..");

/** Puts `text` between the two marks of a page. */
function writeSection(page: string, what: string, text: string): void {
  const begin = `<!-- begin of the ${what}: tools/reference.ts -->`;
  const end = `<!-- end of the ${what} -->`;
  const path = join(ROOT, page);
  const [before, rest] = readFileSync(path, "utf8").split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined)
    throw new Error(`${page}: a mark is missing: ${begin}`);
  writeFileSync(path, `${before}${begin}\n\n${text}\n\n${end}${after}`);
}

writeSection("README.md", "configuration reference", referenceMarkdown());
writeSection("ARCHITECTURE.md", "rules of time", timeRulesMarkdown());
writeFileSync(
  join(ROOT, "schemas", "config.schema.json"),
  `${JSON.stringify(configJsonSchema(), null, 2)}\n`,
);
