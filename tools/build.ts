// `npm run build`: kernels, then dist/millrace: one executable with the worker threads, the kernels, DuckDB's native parts and the
// examples inside. Two modules are replaced on the way: what DuckDB's binding requires, and src/base/embedded.ts.
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { createRequire } from "node:module";
import type { BunPlugin } from "bun";
import { buildKernels } from "../kernels/build.ts";

const ROOT = join(import.meta.dir, "..");
const OUT = join(ROOT, "dist", "millrace");

/** Worker threads: each is an entry point of its own, found by `new URL("./threads/<name>.ts", import.meta.url)` of main.ts. */
const THREADS = readdirSync(join(ROOT, "src", "threads"))
  .filter((name) => /^(log|engine|export|reconcile|past|savepoint|ship)\.ts$/.test(name))
  .map((name) => join(ROOT, "src", "threads", name));

/** Files to carry: relative name when unpacked -> where it is now. */
function filesToCarry(): { readonly name: string; readonly source: string }[] {
  const require = createRequire(import.meta.url);
  const platform = `@duckdb/node-bindings-${process.platform}-${process.arch}`;
  const native = dirname(require.resolve(`${platform}/duckdb.node`));
  const libraries = readdirSync(native).filter((name) =>
    /^(duckdb\.node|libduckdb\..*)$/.test(name),
  );
  const examples = readdirSync(join(ROOT, "examples"), { recursive: true, encoding: "utf8" })
    .toSorted()
    .filter((name) => statSync(join(ROOT, "examples", name)).isFile());
  return [
    ...libraries.map((name) => ({ name, source: join(native, name) })),
    ...examples.map((name) => ({ name: `examples/${name}`, source: join(ROOT, "examples", name) })),
  ];
}

/** The module that takes the place of src/base/embedded.ts. */
function embeddedModule(): string {
  const hash = new Bun.CryptoHasher("sha256");
  const files = filesToCarry();
  const imports = files.map(
    ({ source }, at) => `import f${at} from ${JSON.stringify(source)} with { type: "file" };`,
  );
  const entries = files.map(({ name, source }, at) => {
    const content = readFileSync(source);
    hash.update(`${name}\0${content.length}\0`).update(content);
    return `{ name: ${JSON.stringify(name)}, path: f${at}, bytes: ${content.length} }`;
  });
  return `${imports.join("\n")}
const carried = { hash: ${JSON.stringify(hash.digest("hex"))}, files: [${entries.join(", ")}] };
export function embedded() { return carried; }
`;
}

/** DuckDB's binding requires a package per platform; inside the executable the unpacked library is loaded instead. */
const REPLACE: BunPlugin = {
  name: "millrace-embed",
  setup(build) {
    build.onResolve({ filter: /^@duckdb\/node-bindings-[\w-]+\/duckdb\.node$/ }, ({ path }) => ({
      path,
      namespace: "duckdb-native",
    }));
    build.onLoad({ filter: /./, namespace: "duckdb-native" }, () => ({
      contents: 'module.exports = globalThis[Symbol.for("millrace.duckdb.native")];',
      loader: "js",
    }));
    build.onLoad({ filter: /[/\\]src[/\\]base[/\\]embedded\.ts$/ }, () => ({
      contents: embeddedModule(),
      loader: "ts",
    }));
  },
};

await buildKernels();
mkdirSync(dirname(OUT), { recursive: true });
const began = performance.now();
const result = await Bun.build({
  entrypoints: [join(ROOT, "src", "main.ts"), ...THREADS],
  root: join(ROOT, "src"),
  target: "bun",
  minify: true,
  compile: { outfile: `${OUT}.new` },
  plugins: [REPLACE],
});
for (const log of result.logs) console.log(log.message);
if (!result.success) process.exit(1);
renameSync(`${OUT}.new`, OUT);
rmSync(`${OUT}.new`, { force: true });
const seconds = ((performance.now() - began) / 1000).toFixed(1);
console.log(`dist/millrace: ${Math.round(statSync(OUT).size / 1024 / 1024)} MB in ${seconds} s`);
