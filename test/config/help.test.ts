import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { SETTING_KEYS, STREAM_KEYS, VIEW_KEYS } from "../../src/config.ts";
import { configJsonSchema, helpText, referenceMarkdown } from "../../src/config/help.ts";
import { IMAGES_BYTES, LOG_ROOM_BYTES } from "../../src/limits.ts";
import { parseValue } from "../../src/config/values.ts";

const ROOT = join(import.meta.dir, "..", "..");

test("every default can be read as a value of its key", () => {
  for (const [name, key] of Object.entries({ ...STREAM_KEYS, ...VIEW_KEYS, ...SETTING_KEYS }))
    if (key.default !== null) expect([name, parseValue(key, key.default).ok]).toEqual([name, true]);
});

test("--help names every key", () => {
  const help = helpText();
  for (const key of Object.keys(STREAM_KEYS)) expect(help).toContain(`--streams.NAME.${key} `);
  for (const key of Object.keys(VIEW_KEYS)) expect(help).toContain(`--views.NAME.${key} `);
  for (const key of Object.keys(SETTING_KEYS)) expect(help).toMatch(new RegExp(`--${key}[ ,]`));
});

test("what is said of log.size_max is what is checked", () => {
  const reserveBytes = IMAGES_BYTES + LOG_ROOM_BYTES;
  const rule = `2 x log.file_size + ${reserveBytes / 1024 ** 2} MB or more`;
  expect(SETTING_KEYS["log.size_max"].description).toContain(rule);
});

// After a change of src/config.ts: `node tools/bun.mjs --no-install tools/reference.ts` writes both anew.
test("README's reference is made from the table", () => {
  expect(readFileSync(join(ROOT, "README.md"), "utf8")).toContain(referenceMarkdown());
});

test("schemas/config.schema.json is made from the table", () => {
  const text = readFileSync(join(ROOT, "schemas", "config.schema.json"), "utf8");
  expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(configJsonSchema())));
});
