// Adapter: puts the executable's files on disk once, where the dynamic linker and people can reach them: into a folder named by their
// content hash, made whole under another name and renamed, so that any number of processes may do it at the same time.
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { homedir, tmpdir, userInfo } from "node:os";
import { dirname, join } from "node:path";
import { embedded, type Embedded } from "./embedded.ts";

/** Where unpacked files may live, best first: the user's cache folder, else one of the user's own below the temporary folder. */
export function cacheFolders(env: Readonly<Record<string, string | undefined>>): string[] {
  const { XDG_CACHE_HOME: xdg } = env;
  const homes = [xdg, join(homedir(), ".cache")].filter(
    (folder) => folder !== undefined && folder.startsWith("/"),
  );
  return [
    ...homes.map((folder) => join(folder ?? "", "millrace")),
    join(tmpdir(), `millrace-${userInfo().uid}`),
  ];
}

/** Whether a folder is there, or can be made, is ours alone to write, and may be written now. */
function isOurs(folder: string): boolean {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    accessSync(folder, constants.W_OK | constants.X_OK);
    const { uid, mode } = lstatSync(folder);
    return uid === userInfo().uid && (mode & 0o022) === 0;
  } catch {
    return false;
  }
}

function isWhole(folder: string, files: Embedded["files"]): boolean {
  return files.every(({ name, bytes }) => {
    const path = join(folder, name);
    return existsSync(path) && statSync(path).size === bytes;
  });
}

/** Whether a folder cannot have been made by another user than this one or root. */
function isTrusted(folder: string): boolean {
  const { uid, mode } = lstatSync(folder);
  return (uid === userInfo().uid || uid === 0) && (mode & 0o022) === 0;
}

/** Unpacks into the first folder that can be used; gives the path of the unpacked folder. Throws when none can be used. */
export function unpackInto(folders: readonly string[], { hash, files }: Embedded): string {
  const name = hash.slice(0, 32);
  // Also where nothing can be written: an image whose root is read-only has it unpacked already.
  const there = folders
    .map((parent) => join(parent, name))
    .find((folder) => isWhole(folder, files));
  if (there !== undefined && isTrusted(there) && isTrusted(dirname(there))) return there;
  const parent = folders.find(isOurs);
  if (parent === undefined)
    throw new Error(
      `none of ${folders.join(", ")} can be written; name a folder with XDG_CACHE_HOME`,
    );
  const folder = join(parent, name);
  if (isWhole(folder, files)) return folder;
  const made = mkdtempSync(join(parent, "unpacking-"));
  for (const file of files) {
    mkdirSync(dirname(join(made, file.name)), { recursive: true });
    writeFileSync(join(made, file.name), readFileSync(file.path), { mode: 0o644 });
  }
  chmodSync(made, 0o755);
  try {
    // A folder that is there and not whole was damaged from outside: it makes room.
    if (existsSync(folder) && !isWhole(folder, files)) rmSync(folder, { recursive: true });
    renameSync(made, folder);
  } catch (error) {
    rmSync(made, { recursive: true, force: true });
    if (!isWhole(folder, files)) throw error;
  }
  return folder;
}

let unpacked: string | null = null;

/** The folder of the unpacked files, unpacking at the first call; null when run from source. */
export function unpackedFolder(): string | null {
  const carried = embedded();
  if (carried === null) return null;
  unpacked ??= unpackInto(cacheFolders(process.env), carried);
  return unpacked;
}

/** The folder that holds `examples/`: unpacked, or the repository. */
export function examplesFolder(): string {
  return join(unpackedFolder() ?? join(import.meta.dir, "..", ".."), "examples");
}
