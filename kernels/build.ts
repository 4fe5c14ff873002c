// Compiles each kernel module of assembly/ to build/<module>.wasm, when its sources changed. Run by `npm run kernels`, and by every
// command that needs kernels. With names as arguments only those modules are built.
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Names of the modules, each `assembly/<name>/exports.ts`. */
export const MODULES = ["decode", "admit", "fold", "export"] as const;

const ROOT = join(import.meta.dir, "..");
/** What modules are compiled for: `npm run check` looks at their types for the same. */
export const TARGET_FLAGS: readonly string[] = [
  "--runtime",
  "stub",
  "--enable",
  "simd,threads",
  "--importMemory",
  "--sharedMemory",
  "--initialMemory",
  "16",
  "--maximumMemory",
  "65536",
];
const FLAGS = ["-O3", "--noAssert", ...TARGET_FLAGS];

/** Hash of everything that a module's bytes depend on: its folder, assembly/base, the ABI and the flags. */
function sourceHash(module: string): string {
  const hash = new Bun.CryptoHasher("sha256");
  hash.update(FLAGS.join(" "));
  const folders = ["assembly/base", `assembly/${module}`, "kernels/abi"].map((name) =>
    join(ROOT, name),
  );
  const files = folders.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts"))
      .toSorted()
      .map((name) => join(folder, name)),
  );
  for (const file of [...files, join(ROOT, "kernels", "abi.ts")])
    hash.update(file.slice(ROOT.length)).update(readFileSync(file));
  return hash.digest("hex");
}

/** Builds one module if needed. Throws with the compiler's messages when it does not compile. */
async function buildModule(module: string): Promise<void> {
  const out = join(ROOT, "build", `${module}.wasm`);
  const stamp = join(ROOT, "build", `${module}.hash`);
  const hash = sourceHash(module);
  if (existsSync(out) && existsSync(stamp) && readFileSync(stamp, "utf8") === hash) return;
  mkdirSync(join(ROOT, "build"), { recursive: true });
  // Loading the compiler takes a second: only when there is something to compile.
  const { createMemoryStream, main: compile } = await import("assemblyscript/asc");
  const stderr = createMemoryStream();
  const { error } = await compile(
    [`assembly/${module}/exports.ts`, ...FLAGS, "--baseDir", ROOT, "-o", `build/${module}.wasm`],
    { stderr },
  );
  if (error) throw new Error(`kernels: ${module} does not compile\n${stderr.toString()}`);
  writeFileSync(stamp, hash);
}

/** Builds the named modules, or all. */
export async function buildKernels(modules: readonly string[] = MODULES): Promise<void> {
  for (const module of modules) await buildModule(module);
}

if (import.meta.main) await buildKernels(process.argv.length > 2 ? process.argv.slice(2) : MODULES);
