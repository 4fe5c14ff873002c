// Adapter: fixtures on disk. Which folders are fixtures, their files, and the configuration that is theirs.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { EVENTS_FILE, type FixtureFiles } from "./fixture.ts";

/** Folders with events below `folder`, itself included, in the order of their names. A string is what is wrong. */
export function fixtureFolders(folder: string): string[] | string {
  if (!existsSync(folder) || !statSync(folder).isDirectory())
    return `${folder} is not a folder; name the one that holds the tests`;
  const found = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name === EVENTS_FILE || name.endsWith(`/${EVENTS_FILE}`))
    .map((name) => join(folder, name))
    .filter(isFile)
    .map((path) => dirname(path))
    .toSorted();
  return found.length > 0 ? found : `no folder below ${folder} holds ${EVENTS_FILE}`;
}

export function folderFiles(folder: string): FixtureFiles {
  return {
    names: () =>
      readdirSync(folder)
        .filter((name) => isFile(join(folder, name)))
        .toSorted(),
    text: (name) => readFileSync(join(folder, name), "utf8"),
  };
}

/** Not a folder of that name. */
function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}

/** The millrace.yaml of the folder or the nearest one above it; undefined when there is none. */
export function configAbove(folder: string): string | undefined {
  for (let at = resolve(folder); ; at = dirname(at)) {
    const path = join(at, "millrace.yaml");
    if (existsSync(path)) return path;
    if (dirname(at) === at) return undefined;
  }
}
