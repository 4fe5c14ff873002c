// Verb: the table of keys -> `--help`, the README's reference and the JSON schema that editors use. All derive from config.ts.
import { SETTING_KEYS, STREAM_KEYS, VIEW_KEYS } from "../config.ts";
import type { Key } from "../config.ts";
import { COMMAND_FLAGS, COMMANDS } from "./argv.ts";
import { envName } from "./overrides.ts";

type Table = Readonly<Record<string, Key>>;

const GROUPS: readonly {
  readonly prefix: string;
  readonly title: string;
  readonly table: Table;
}[] = [
  { prefix: "streams.NAME.", title: "Streams", table: STREAM_KEYS },
  { prefix: "views.NAME.", title: "Views", table: VIEW_KEYS },
  { prefix: "", title: "The appliance", table: SETTING_KEYS },
];

const TYPE_TEXT: Readonly<Record<Key["type"], string>> = {
  text: "text",
  path: "path",
  duration: "duration",
  size: "size",
  count: "number",
  switch: "on or off",
  address: "HOST:PORT",
  policy: "policy",
  rollups: "list",
};

/** The type, and between what its values lie. */
function typeText({ type, least, most }: Key): string {
  const text = TYPE_TEXT[type];
  if (least !== undefined && most !== undefined) return `${text}, ${least} to ${most}`;
  if (least !== undefined) return `${text}, ${least} or more`;
  return most === undefined ? text : `${text}, ${most} at most`;
}

function defaultText(key: Key): string {
  if (key.required === true) return "required";
  return key.default ?? "none";
}

/** What `millrace --help` prints. */
export function helpText(): string {
  const lines = ["millrace COMMAND [--flag value ...]", "", "Commands"];
  for (const [name, text] of Object.entries(COMMANDS)) lines.push(`  ${name.padEnd(10)} ${text}`);
  lines.push("", "Flags");
  for (const [name, text] of Object.entries(COMMAND_FLAGS))
    lines.push(`  ${`--${name}`.padEnd(22)} ${text}`);
  for (const { prefix, title, table } of GROUPS) {
    lines.push("", `${title}: key of the file, and flag`);
    for (const [name, key] of Object.entries(table)) {
      const short = key.short === undefined ? "" : `, --${key.short}`;
      lines.push(`  --${prefix}${name}${short} (${typeText(key)}; ${defaultText(key)})`);
      lines.push(`      ${key.description}`);
    }
  }
  lines.push(
    "",
    "Durations are written 500ms, 10s, 5m, 24h, 7d; sizes 64MB, 8GB (1 KB = 1,024 bytes).",
    "Every flag is also an environment variable: --log.size_max is MILLRACE_LOG_SIZE_MAX. Flags win over",
    "the environment, both over the file. MILLRACE_KEY is the key that requests must carry.",
    "",
  );
  return lines.join("\n");
}

/** The README's configuration reference: one markdown table a group. */
export function referenceMarkdown(): string {
  const parts = GROUPS.map(({ prefix, title, table }) => {
    const rows = Object.entries(table).map(([name, key]) => {
      const code = `\`${prefix}${name}\``;
      const flag =
        key.short === undefined ? "" : ` Short: \`--${key.short}\`, \`${envName(key.short)}\`.`;
      const written = key.default === null ? defaultText(key) : `\`${key.default}\``;
      return `| ${code} | ${typeText(key)} | ${written} | ${key.description}${flag} |`;
    });
    return [
      `**${title}**`,
      "",
      "| key | type | default | what |",
      "|---|---|---|---|",
      ...rows,
    ].join("\n");
  });
  return parts.join("\n\n");
}

const TYPE_SCHEMA: Readonly<Record<Key["type"], object>> = {
  text: { type: "string", minLength: 1 },
  path: { type: "string", minLength: 1 },
  duration: { type: "string", pattern: "^\\d+\\s*(us|ms|s|m|h|d)$" },
  size: { type: "string", pattern: "^\\d+\\s*([Bb]|[KMGTkmgt][Bb])$" },
  count: { type: "integer", minimum: 1 },
  switch: { enum: ["on", "off", true, false] },
  address: { type: "string", pattern: ":\\d{1,5}$" },
  policy: { enum: ["side", "update", "drop"] },
  rollups: {
    type: "array",
    items: {
      anyOf: [
        { type: "string" },
        {
          type: "object",
          additionalProperties: false,
          properties: { every: { type: "string" }, time_zone: { type: "string" } },
          required: ["every"],
        },
      ],
    },
  },
};

interface ObjectSchema {
  readonly type: "object";
  readonly additionalProperties: false;
  readonly properties: Record<string, object>;
  required?: string[];
}

function objectSchema(): ObjectSchema {
  return { type: "object", additionalProperties: false, properties: {} };
}

/** A nested object schema from dotted keys. */
function tableSchema(table: Table): ObjectSchema {
  const root = objectSchema();
  for (const [name, key] of Object.entries(table)) {
    const [first = "", second] = name.split(".");
    const written = key.default === null ? {} : { default: key.default };
    const leaf = { description: key.description, ...TYPE_SCHEMA[key.type], ...written };
    if (second === undefined) root.properties[first] = leaf;
    else {
      const group = (root.properties[first] ??= objectSchema()) as ObjectSchema;
      group.properties[second] = leaf;
    }
    if (key.required === true) root.required = [...(root.required ?? []), first];
  }
  return root;
}

/** JSON schema (draft 2020-12) of the configuration file: `schemas/config.schema.json` is this, as text. */
export function configJsonSchema(): object {
  const root = tableSchema(SETTING_KEYS);
  const named = (table: Table): object => ({
    type: "object",
    propertyNames: { pattern: "^[a-z_][a-z0-9_]{0,62}$" },
    additionalProperties: tableSchema(table),
  });
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Millrace configuration",
    ...root,
    properties: { streams: named(STREAM_KEYS), views: named(VIEW_KEYS), ...root.properties },
    required: ["streams"],
  };
}
