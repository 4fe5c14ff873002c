// The rules of style that a machine can check (STYLE in short: direction of imports, sizes, words, versions). Reads sources as text:
// Bun's own scan drops `import type`.
import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";

const ROOT = join(import.meta.dir, "..");
const OURS = ["src", "kernels", "assembly", "tools", "bench", "test"];

/** Stages in the order of the data's path: each may import those before it. `engine` and `pipeline` compose all stages. */
const LAYERS: readonly string[] = [
  "base",
  "kernels",
  "limits",
  "time",
  "event",
  "admit",
  "log",
  "reader",
  "view",
  "window",
  "checkpoint",
  "table",
  "query",
  "config",
  "engine-options",
  "engine-records",
  "engine",
  "engine-state",
  "engine-backlog",
  "engine-in-flight",
  "engine-keys",
  "engine-laggards",
  "pipeline",
  "doctor",
  "savepoint",
  "ship",
  "rehearsal",
  "reconcile",
  "serve",
  "verify",
  "threads",
  "appliance",
  "commands",
  "main",
];

/** What may be imported against the order, and why. */
const PERMITTED: readonly { readonly from: string; readonly to: string; readonly why: string }[] = [
  { from: "src/admit/", to: "src/log/record.ts", why: "admission decides what a record holds" },
  {
    from: "src/event/",
    to: "src/log/record.ts",
    why: "the record is the noun that decoding fills",
  },
];

/** One technology, one importer (or one per room that owns a file of its own). */
const TECHNOLOGIES: readonly { readonly module: RegExp; readonly importers: readonly RegExp[] }[] =
  [
    { module: /^@duckdb\//, importers: [/^src\/base\/duckdb/] },
    { module: /^hono$/, importers: [/^src\/serve\/app\.ts$/] },
    { module: /^yaml$/, importers: [/^src\/config\/yaml\.ts$/] },
    { module: /^avsc$/, importers: [/^src\/event\/avro\.ts$/] },
    { module: /^assemblyscript/, importers: [/^kernels\/build\.ts$/] },
    {
      module: /^bun:sqlite$/,
      importers: [
        /^src\/\w+\/(sqlite-[\w-]+|[\w-]*ledger(-rows|-schema)?|data-folder|log-file)\.ts$/,
      ],
    },
  ];

/** Files that may read a clock or draw a number: the clock, adapters of the outside world, entry points. */
const READS_TIME = /^src\/base\/clock\.ts$|^src\/main\.ts$|^(tools|bench|test)\//;

interface Source {
  readonly path: string;
  readonly text: string;
  /** The text without comments and without what stands in strings. */
  readonly code: string;
  readonly lines: number;
}

function stripped(text: string): string {
  return text
    .replaceAll(/\/\*[\s\S]*?\*\//g, "")
    .replaceAll(/(^|[^:"'`])\/\/[^\n]*/g, "$1")
    .replaceAll(/"(?:[^"\\\n]|\\.)*"/g, '""');
}

const SOURCES: readonly Source[] = OURS.flatMap((folder) =>
  existsSync(join(ROOT, folder))
    ? readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
        .filter((name) => name.endsWith(".ts"))
        .map((name) => {
          const path = join(folder, name);
          const text = readFileSync(join(ROOT, path), "utf8");
          return { path, text, code: stripped(text), lines: text.split("\n").length - 1 };
        })
    : [],
);

/** What a file imports: modules by name, our files by path from the root. */
function importsOf(source: Source): string[] {
  const found = source.text.matchAll(
    /^(?:import|export)\b[^;]*?\bfrom\s+"([^"]+)"|\bimport\(\s*"([^"]+)"|^import\s+"([^"]+)"/gm,
  );
  return [...found].map(([, from, dynamic, bare]) => {
    const name = from ?? dynamic ?? bare ?? "";
    return name.startsWith(".") ? normalize(join(dirname(source.path), name)) : name;
  });
}

/** The layer of a path: its folder below src, or the file's own name. Null for what is not in the product. */
function layerOf(path: string): string | null {
  if (path.startsWith("kernels/") || path.startsWith("build/")) return "kernels";
  const match = /^src\/([\w-]+)/.exec(path);
  return match === null ? null : (match[1] ?? null);
}

describe("imports", () => {
  test("go from later stages to earlier ones only", () => {
    const breaches: string[] = [];
    for (const source of SOURCES) {
      const layer = layerOf(source.path);
      if (layer === null) continue;
      if (!LAYERS.includes(layer))
        breaches.push(`${source.path}: ${layer} is not in the layer table`);
      for (const target of importsOf(source)) {
        const other = layerOf(target);
        if (other === null || LAYERS.indexOf(other) <= LAYERS.indexOf(layer)) continue;
        if (PERMITTED.some(({ from, to }) => source.path.startsWith(from) && target === to))
          continue;
        breaches.push(`${source.path} imports ${target}`);
      }
    }
    expect(breaches).toEqual([]);
  });

  test("never reach another stage's adapter, except to compose", () => {
    const adapter = /\/(sqlite|disk|memory)-[\w-]+\.ts$/;
    const composes = new Set([
      "base",
      "engine",
      "pipeline",
      "doctor",
      "savepoint",
      "rehearsal",
      "threads",
      "appliance",
      "main",
    ]);
    const breaches = SOURCES.flatMap((source) => {
      const layer = layerOf(source.path);
      if (layer === null || composes.has(layer)) return [];
      return importsOf(source)
        .filter(
          (target) =>
            adapter.test(target) && layerOf(target) !== layer && layerOf(target) !== "base",
        )
        .map((target) => `${source.path} imports ${target}`);
    });
    expect(breaches).toEqual([]);
  });

  test("one technology is imported in one place", () => {
    const breaches = SOURCES.filter(({ path }) => path.startsWith("src/")).flatMap((source) =>
      importsOf(source).flatMap((name) => {
        const technology = TECHNOLOGIES.find(({ module }) => module.test(name));
        if (
          technology === undefined ||
          technology.importers.some((importer) => importer.test(source.path))
        )
          return [];
        return [`${source.path} imports ${name}`];
      }),
    );
    expect(breaches).toEqual([]);
  });

  test("assembly imports nothing of ours but the ABI", () => {
    const breaches = SOURCES.filter(({ path }) => path.startsWith("assembly/")).flatMap((source) =>
      importsOf(source)
        .filter((target) => !target.startsWith("assembly/") && target !== "kernels/abi")
        .map((target) => `${source.path} imports ${target}`),
    );
    expect(breaches).toEqual([]);
  });

  test("what host and kernels share has one door, kernels/abi.ts", () => {
    const breaches = SOURCES.flatMap((source) =>
      importsOf(source)
        .filter(
          (target) =>
            (target.startsWith("kernels/abi/") && source.path !== "kernels/abi.ts") ||
            (target.startsWith("assembly/") && !source.path.startsWith("assembly/")),
        )
        .map((target) => `${source.path} imports ${target}`),
    );
    expect(breaches).toEqual([]);
  });

  test("nothing leaves the repository", () => {
    const outside = SOURCES.filter(
      ({ path, text }) => path !== "test/tidy.test.ts" && /\.\.\/shared\b|\/work\//.test(text),
    );
    expect(outside.map(({ path }) => path)).toEqual([]);
    const far = SOURCES.flatMap((source) =>
      importsOf(source).filter((target) => target.startsWith("..")),
    );
    expect(far).toEqual([]);
  });
});

describe("sizes", () => {
  test("no file has more than 400 lines", () => {
    const long = SOURCES.filter(({ lines }) => lines > 400).map(
      ({ path, lines }) => `${path}: ${lines}`,
    );
    expect(long).toEqual([]);
  });

  test("no function of the product has more than 70 lines", () => {
    const long: string[] = [];
    for (const { path, text } of SOURCES) {
      if (!/^(src|kernels|assembly)\//.test(path)) continue;
      const lines = text.split("\n");
      for (const [at, line] of lines.entries()) {
        const indent = /^(\s*)(?:export )?(?:async )?function\*? [\w$]+/.exec(line)?.[1];
        if (indent === undefined) continue;
        const end = lines.findIndex((other, below) => below > at && other === `${indent}}`);
        const size = lines
          .slice(at, end + 1)
          .filter((inner) => !/^\s*(\/\/|\*|\/\*|$)/.test(inner)).length;
        if (end !== -1 && size > 70) long.push(`${path}:${at + 1}: ${size} lines`);
      }
    }
    expect(long).toEqual([]);
  });
});

describe("words", () => {
  /** Paths and lines where the code (without comments and strings) matches. */
  function findCode(pattern: RegExp, where: RegExp = /./): string[] {
    return SOURCES.filter(({ path }) => where.test(path)).flatMap(({ path, code }) =>
      [...code.matchAll(pattern)].map(([found]) => `${path}: ${found.trim()}`),
    );
  }

  test("no default exports, no any, no path that says nothing", () => {
    expect(findCode(/^export default\b/gm)).toEqual([]);
    expect(findCode(/(?:[\w)\]?]:|<|\bas) any\b/g)).toEqual([]);
    const names = SOURCES.filter(({ path }) =>
      /\/(utils?|helpers?|types|common|misc|ports|domain|infra)(\/|\.ts$)/.test(path),
    );
    expect(names.map(({ path }) => path)).toEqual([]);
  });

  test("every file of ours that a text names is there", () => {
    const pages = ["README.md", "ARCHITECTURE.md"].map((path) => ({
      path,
      text: readFileSync(join(ROOT, path), "utf8"),
    }));
    const gone = [...SOURCES, ...pages].flatMap(({ path, text }) =>
      [...text.matchAll(/\b(?:src|kernels|assembly|tools|bench|test)\/[\w/.-]+\.ts\b/g)]
        .filter(([name]) => path !== "test/tidy.test.ts" && !existsSync(join(ROOT, name)))
        .map(([name]) => `${path} names ${name}`),
    );
    expect(gone).toEqual([]);
  });

  test("nothing is left for later", () => {
    const marks = SOURCES.filter(
      ({ path, text }) => path !== "test/tidy.test.ts" && /\b(TODO|FIXME|XXX|HACK)\b/.test(text),
    );
    expect(marks.map(({ path }) => path)).toEqual([]);
  });

  test("time and chance come in by argument", () => {
    expect(
      findCode(/\bDate\.now\(|\bMath\.random\(|\bnew Date\(\)/g, /^src\//).filter(
        (found) => !READS_TIME.test(found.split(":")[0] ?? ""),
      ),
    ).toEqual([]);
  });

  test("no test is focused, none is without an assertion", () => {
    expect(findCode(/\b(test|describe|it)\.only\(/g, /^test\//)).toEqual([]);
    const empty = SOURCES.filter(
      ({ path, text }) =>
        path.endsWith(".test.ts") &&
        !/\bexpect\(|\bcheck[A-Z]|\bassert\(|\brun\w*Contract\(|\b\w+Contract\(/.test(text),
    );
    expect(empty.map(({ path }) => path)).toEqual([]);
  });

  test("each file of the product opens with what it owns", () => {
    const silent = SOURCES.filter(
      ({ path, text }) =>
        /^(src|kernels|assembly|tools|bench)\//.test(path) && !/^(\/\/|\/\*)/.test(text),
    );
    expect(silent.map(({ path }) => path)).toEqual([]);
  });
});

describe("packages", () => {
  const json = (name: string): Record<string, unknown> =>
    JSON.parse(readFileSync(join(ROOT, name), "utf8")) as Record<string, unknown>;

  test("versions are exact", () => {
    const { dependencies, devDependencies } = json("package.json");
    const all = Object.entries({ ...(dependencies as object), ...(devDependencies as object) }) as [
      string,
      string,
    ][];
    expect(all.length).toBeGreaterThan(5);
    expect(all.filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))).toEqual([]);
  });

  test("every optional dependency of a locked package is locked, or npm ci refuses", () => {
    const packages = json("package-lock.json")["packages"] as Record<
      string,
      { optionalDependencies?: Record<string, string> }
    >;
    const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies)
        .filter(
          (name) =>
            packages[`node_modules/${name}`] === undefined &&
            packages[`${path}/node_modules/${name}`] === undefined,
        )
        .map((name) => `${path} wants ${name}`),
    );
    expect(missing).toEqual([]);
  });

  test("nothing runs at an install, and each command does all it needs", () => {
    const hooks = Object.keys(json("package.json")["scripts"] as object).filter((name) =>
      /^(pre|post|prepare$|install$)/.test(name),
    );
    expect(hooks).toEqual([]);
    expect(readFileSync(join(ROOT, ".npmrc"), "utf8")).toContain("ignore-scripts=true");
  });

  test("the lock names no registry", () => {
    expect(readFileSync(join(ROOT, "package-lock.json"), "utf8")).not.toMatch(/"resolved"/);
  });
});

test("the tidy test reads what it should", () => {
  expect(SOURCES.length).toBeGreaterThan(40);
  expect(relative(ROOT, import.meta.path)).toBe("test/tidy.test.ts");
  expect(
    importsOf({
      path: "src/a/b.ts",
      text: 'import type {\n  A,\n} from "../c/d.ts";\n',
      code: "",
      lines: 3,
    }),
  ).toEqual(["src/c/d.ts"]);
  expect(stripped('a("// no"); // yes\n/* b */c')).toBe('a(""); \nc');
});
