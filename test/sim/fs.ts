// Stands in for node:fs where disk-files.ts imports it: the same calls, on the disk of the machine that runs now. So the real adapter runs,
// and a sync that it forgets is found.
import { DiskError, type Inode } from "./disk.ts";
import { machine } from "./machine-now.ts";

/** What a descriptor is open for: a file, or a folder to be synced. */
interface Descriptor {
  readonly path: string;
  readonly inode: Inode | null;
  position: number;
}

const FREE_BYTES = 2 ** 40;

/** Open descriptors of all machines; those of ended ones are never used again. */
const descriptors = new Map<number, Descriptor>();
let nextDescriptor = 3;

const disk = () => machine().disk;

function descriptorOf(file: number): Descriptor {
  const known = descriptors.get(file);
  if (known === undefined) throw new DiskError("EBADF", String(file));
  return known;
}

export function openSync(path: string, flags: "r" | "wx", _mode?: number): number {
  const isFolder = flags === "r" && disk().isFolder(path);
  const inode = isFolder ? null : flags === "wx" ? disk().create(path) : disk().mustFind(path);
  const file = nextDescriptor++;
  descriptors.set(file, { path, inode, position: 0 });
  return file;
}

export function closeSync(file: number): void {
  descriptors.delete(file);
}

export function writeSync(
  file: number,
  bytes: Uint8Array,
  from: number,
  length: number,
  _position: null,
): number {
  const open = descriptorOf(file);
  if (open.inode === null) throw new DiskError("EISDIR", open.path);
  const write = { offset: open.position, bytes: bytes.subarray(from, from + length) };
  const written = disk().write(open.path, open.inode, write);
  open.position += written;
  return written;
}

export function fsyncSync(file: number): void {
  const { path, inode } = descriptorOf(file);
  if (inode === null) disk().fsyncFolder(path);
  else disk().fsyncFile(path, inode);
}

export function readSync(
  file: number,
  into: Uint8Array,
  at: number,
  length: number,
  position: number,
): number {
  const { inode } = descriptorOf(file);
  const part = inode?.bytes.subarray(position, position + length) ?? new Uint8Array(0);
  into.set(part, at);
  return part.length;
}

export function fstatSync(file: number): { readonly size: number } {
  return { size: descriptorOf(file).inode?.sizeBytes ?? 0 };
}

export function statSync(
  path: string,
  _options: { readonly throwIfNoEntry: false },
): { readonly size: number } | undefined {
  const inode = disk().find(path);
  return inode === null ? undefined : { size: inode.sizeBytes };
}

export const existsSync = (path: string): boolean =>
  disk().find(path) !== null || disk().isFolder(path);

export const readFileSync = (path: string): Uint8Array => disk().mustFind(path).bytes.slice();

export const readdirSync = (path: string): string[] => disk().list(path);

export const linkSync = (from: string, to: string): void => disk().link(from, to);

export const renameSync = (from: string, to: string): void => disk().rename(from, to);

export const unlinkSync = (path: string): void => disk().unlink(path);

/** All files of a tree, one by one. Folders stay: nobody looks whether they are there. */
export function rmSync(path: string, _options: { readonly recursive: true }): void {
  for (const file of disk().paths())
    if (file === path || file.startsWith(`${path}/`)) disk().unlink(file);
}

export const mkdirSync = (path: string, _options: { readonly recursive: true }): void =>
  disk().makeFolder(path);

/** Node:fs/promises: done in a later step of the same thread. */
export function writeFile(path: string, bytes: Uint8Array, _options: object): Promise<void> {
  return later(() => disk().replace(path, bytes));
}

export function rm(path: string, _options: { readonly force: true }): Promise<void> {
  return later(() => {
    if (disk().find(path) !== null) disk().unlink(path);
  });
}

function later(run: () => void): Promise<void> {
  const { scheduler } = machine();
  return new Promise((resolve, reject) => {
    scheduler.after(scheduler.jitterUs(), scheduler.actor, () => {
      try {
        run();
        resolve();
      } catch (error) {
        reject(error);
      }
    });
  });
}

export function statfsSync(_path: string): { readonly bavail: number; readonly bsize: number } {
  return { bavail: disk().isFull ? 0 : FREE_BYTES, bsize: 1 };
}
