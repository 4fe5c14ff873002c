// The appliance with a bug: its sources, copied, with one text replaced. Owns the bugs that a power cut must show.
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "..", "..");
const COPIED = ["src", "kernels", "build", "examples", "package.json"];

/** Something that is no longer synced. Each stands once in the file. */
export interface Mutation {
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

const unsafe = (name: string, file: string): Mutation => ({
  name,
  file,
  find: 'run("PRAGMA synchronous = FULL")',
  replace: 'run("PRAGMA synchronous = OFF")',
});

export const MUTATIONS: readonly Mutation[] = [
  unsafe("a record of the log is acknowledged before its sync", "src/log/log-file.ts"),
  unsafe("a checkpoint counts before its sync", "src/checkpoint/sqlite-store.ts"),
  unsafe("the ledger counts before its sync", "src/table/ledger.ts"),
  {
    name: "a file is named by others before its sync",
    file: "src/base/disk-files.ts",
    find: "fsyncSync(file);",
    replace: "",
  },
];

/** Writes the mutant into `folder`; the command that runs it. Throws when the text is not there once. */
export function makeMutant(folder: string, { file, find, replace }: Mutation): string[] {
  mkdirSync(folder);
  for (const name of COPIED) cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  const path = join(folder, file);
  const parts = readFileSync(path, "utf8").split(find);
  if (parts.length !== 2) throw new Error(`${file}: ${find} stands ${parts.length - 1} times`);
  writeFileSync(path, parts.join(replace));
  return [process.execPath, "--no-install", join(folder, "src", "main.ts")];
}
