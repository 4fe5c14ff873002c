// The disk of a simulated machine: files, folders and what a sync has made durable of them. What it promises is what POSIX and a file system
// without barriers of its own promise, and no more:
//   - bytes are durable after fsync of their file, names after fsync of their folder; before that each write and each change of a name may be
//     kept or lost by a power cut, one by one, whatever their order; a write may be torn at a sector; a rename or link is whole or not there;
//   - after an fsync that failed (EIO) nobody knows what of it is durable, and a later fsync of the same bytes says nothing (the kernel has
//     marked them clean);
//   - a process that is killed leaves everything to the machine; a power cut leaves what is durable.
// It decides nothing about when: faults come in by `Faults`. SQLite's files are sqlite.ts on top of this.
import { must } from "../../src/base/assert.ts";
import type { Random } from "./random.ts";

/** A call of the operating system that changes the disk, or SQLite's commit. */
export type Operation =
  | "create"
  | "write"
  | "fsync"
  | "link"
  | "rename"
  | "unlink"
  | "mkdir"
  | "commit";

/** What happens at an operation: an error, before it takes effect or (as on a network disk whose answer is lost) after, or the machine's end. */
export type Outcome = "done" | "EIO" | "EIO after" | "ENOSPC" | "end before" | "end after";

/** Who says what happens, and what a call costs. */
export interface Faults {
  at(operation: Operation, path: string): Outcome;
  /** Virtual µs. */
  costUs(operation: Operation, path: string): number;
  isFull(): boolean;
  /** A file is about to get this name: others may be quicker. */
  naming(path: string): void;
}

/** The machine has ended in the middle of a call: nothing of the process goes on. */
export class MachineEnded extends Error {
  override readonly name = "MachineEnded";
}

/** An error as node:fs throws it. */
export class DiskError extends Error {
  override readonly name = "DiskError";
  readonly code: string;
  constructor(code: string, path: string) {
    super(`${code}: ${path}`);
    this.code = code;
  }
}

/** Of an absolute path; node:path's take ten times as long, since they look at more than a simulated run has. */
const dirname = (path: string): string => path.slice(0, path.lastIndexOf("/")) || "/";
const basename = (path: string): string => path.slice(path.lastIndexOf("/") + 1);

const SECTOR_BYTES = 512;

/** Bytes that were written and not synced. */
interface Write {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** What SQLite has in a file beyond its bytes. */
export interface Attached {
  /** The process has ended; with a power cut, what is not synced may be gone. */
  ended(powerCut: boolean): void;
  /** The -wal was synced. */
  synced(): void;
  /** The run has ended. */
  close(): void;
  /** Length of the -wal. */
  readonly walBytes: number;
}

/** A file: what the machine sees, and what is durable. */
export class Inode {
  bytes = new Uint8Array(0);
  durable = this.bytes;
  pending: Write[] = [];
  /** Of a database, and of its -wal. */
  attached: Attached | null = null;
  isWal = false;

  get sizeBytes(): number {
    return this.isWal ? (this.attached?.walBytes ?? 0) : this.bytes.length;
  }
}

/** A change of names in one folder, or (a rename) in two: whole or not there. */
interface Renaming {
  readonly set: { readonly path: string; readonly inode: Inode } | null;
  readonly removed: string | null;
}

export class SimDisk {
  readonly #random: Random;
  readonly #faults: Faults;
  readonly #spend: (us: number) => void;
  #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();
  /** Changes of names that no sync of their folder has covered, in order. */
  #renamings: Renaming[] = [];
  readonly #folders = new Set<string>(["/"]);
  /** Names of files and folders, by the folder that they are in. */
  #members = new Map<string, Set<string>>();
  #isEnded = false;
  /** Databases with commits since somebody cleared this. */
  readonly changed = new Set<string>();

  constructor(parts: { random: Random; faults: Faults; spend: (us: number) => void }) {
    this.#random = parts.random;
    this.#faults = parts.faults;
    this.#spend = parts.spend;
  }

  /** Begins an operation: counts it, costs time, fails. Gives what to call once it has taken effect. */
  begin(
    operation: Operation,
    path: string,
  ): { readonly end: () => void; readonly outcome: Outcome } {
    this.mustRun();
    this.#spend(this.#faults.costUs(operation, path));
    const outcome = this.#faults.at(operation, path);
    if (outcome === "end before") this.stop();
    const end = (): void => {
      if (outcome === "end after") this.stop();
      if (outcome === "EIO after") throw new DiskError("EIO", path);
    };
    return { outcome, end };
  }

  /** The machine ends here: every call from now on says so, until `restart`. */
  stop(): never {
    this.#isEnded = true;
    throw new MachineEnded("the machine has ended");
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Throws when the machine has ended. */
  mustRun(): void {
    if (this.#isEnded) throw new MachineEnded("the machine has ended");
  }

  /** From outside: the process is killed between two steps. */
  halt(): void {
    this.#isEnded = true;
  }

  /** The next process: with a power cut, on what was durable, and on what chance has kept of the rest. */
  restart(powerCut: boolean): void {
    this.#isEnded = false;
    const inodes = new Set([...this.#names.values(), ...this.#durableNames.values()]);
    if (powerCut) {
      for (const { set } of this.#renamings) if (set !== null) inodes.add(set.inode);
      this.#names = this.#survivingNames();
      this.#members = new Map();
      for (const path of [...this.#names.keys(), ...this.#folders]) this.#enlist(path);
      this.#durableNames = new Map(this.#names);
      this.#renamings = [];
      for (const inode of inodes) this.#surviveBytes(inode);
    }
    for (const known of new Set([...inodes].map(({ attached }) => attached)))
      known?.ended(powerCut);
  }

  /** The run has ended. */
  close(): void {
    this.#isEnded = true;
    for (const { attached } of this.#names.values()) attached?.close();
  }

  #survivingNames(): Map<string, Inode> {
    const names = new Map(this.#durableNames);
    for (const { set, removed } of this.#renamings) {
      if (this.#random.chance(0.5)) continue;
      if (removed !== null) names.delete(removed);
      if (set !== null) names.set(set.path, set.inode);
    }
    return names;
  }

  #surviveBytes(inode: Inode): void {
    let kept = inode.durable;
    for (const write of inode.pending) {
      if (this.#random.chance(0.4)) continue;
      const sectors = Math.ceil(write.bytes.length / SECTOR_BYTES);
      const isTorn = this.#random.chance(0.3);
      const length = isTorn
        ? Math.min(write.bytes.length, this.#random.between(0, sectors) * SECTOR_BYTES)
        : write.bytes.length;
      if (length === 0) continue;
      kept = written(kept, { offset: write.offset, bytes: write.bytes.subarray(0, length) });
    }
    inode.pending = [];
    inode.bytes = kept;
    inode.durable = kept;
  }

  find(path: string): Inode | null {
    this.mustRun();
    return this.#names.get(path) ?? null;
  }

  mustFind(path: string): Inode {
    const inode = this.find(path);
    if (inode === null) throw new DiskError("ENOENT", path);
    return inode;
  }

  isFolder(path: string): boolean {
    this.mustRun();
    return this.#folders.has(path);
  }

  /** Names in a folder. */
  list(path: string): string[] {
    this.mustRun();
    if (!this.#folders.has(path)) throw new DiskError("ENOENT", path);
    return [...(this.#members.get(path) ?? [])];
  }

  /** A name in the folder that it is in. */
  #enlist(path: string): void {
    const names = this.#members.get(dirname(path)) ?? new Set();
    this.#members.set(dirname(path), names.add(basename(path)));
  }

  #strike(path: string): void {
    this.#members.get(dirname(path))?.delete(basename(path));
  }

  /** Folders are durable at once: a warehouse without its folders is made again by the next start, which is not of interest here. */
  makeFolder(path: string): void {
    if (this.isFolder(path)) return;
    const { outcome, end } = this.begin("mkdir", path);
    failOn(outcome, path);
    for (let folder = path; !this.#folders.has(folder); folder = dirname(folder)) {
      this.#folders.add(folder);
      this.#enlist(folder);
    }
    end();
  }

  /** Makes a new file. */
  create(path: string): Inode {
    this.mustRun();
    if (!this.#folders.has(dirname(path))) throw new DiskError("ENOENT", path);
    if (this.#names.has(path)) throw new DiskError("EEXIST", path);
    const { outcome, end } = this.begin("create", path);
    failOn(outcome, path);
    const inode = new Inode();
    this.#change({ set: { path, inode }, removed: null });
    end();
    return inode;
  }

  /** Bytes at an offset; of a full disk only some may be written, as POSIX says. Returns how many. */
  write(path: string, inode: Inode, { offset, bytes }: Write): number {
    const { outcome, end } = this.begin("write", path);
    const length =
      outcome === "EIO" || outcome === "ENOSPC"
        ? this.#random.between(0, bytes.length)
        : bytes.length;
    const part = { offset, bytes: bytes.slice(0, length) };
    if (length > 0) {
      inode.bytes = written(inode.bytes, part);
      inode.pending.push(part);
    }
    failOn(outcome, path);
    end();
    return length;
  }

  fsyncFile(path: string, inode: Inode): void {
    const { outcome, end } = this.begin("fsync", path);
    if (outcome === "EIO" || outcome === "ENOSPC") {
      for (const write of inode.pending)
        if (this.#random.chance(0.5)) inode.durable = written(inode.durable, write);
      inode.pending = [];
    }
    failOn(outcome, path);
    // not simply all bytes: those of a sync that failed before are marked clean
    for (const write of inode.pending) inode.durable = written(inode.durable, write);
    inode.pending = [];
    inode.attached?.synced();
    end();
  }

  fsyncFolder(path: string): void {
    const { outcome, end } = this.begin("fsync", path);
    failOn(outcome, path);
    const isOf = (changed: string | null): boolean => changed !== null && dirname(changed) === path;
    this.#renamings = this.#renamings.filter((renaming) => {
      const { set, removed } = renaming;
      if (!isOf(set?.path ?? null) && !isOf(removed)) return true;
      if (removed !== null) this.#durableNames.delete(removed);
      if (set !== null) this.#durableNames.set(set.path, set.inode);
      return false;
    });
    end();
  }

  link(from: string, to: string): void {
    this.mustRun();
    const inode = this.mustFind(from);
    this.#faults.naming(to);
    if (this.#names.has(to)) throw new DiskError("EEXIST", to);
    const { outcome, end } = this.begin("link", to);
    failOn(outcome, to);
    this.#change({ set: { path: to, inode }, removed: null });
    end();
  }

  rename(from: string, to: string): void {
    const inode = this.mustFind(from);
    this.#faults.naming(to);
    const { outcome, end } = this.begin("rename", to);
    failOn(outcome, to);
    this.#change({ set: { path: to, inode }, removed: from });
    end();
  }

  unlink(path: string): void {
    this.mustFind(path);
    const { outcome, end } = this.begin("unlink", path);
    failOn(outcome, path);
    this.#change({ set: null, removed: path });
    end();
  }

  /** A file that SQLite makes beside its database, durable at once: SQLite syncs the folder with the first commit. */
  placeWal(path: string, attached: Attached): void {
    const inode = new Inode();
    inode.isWal = true;
    inode.attached = attached;
    this.#names.set(path, inode);
    this.#durableNames.set(path, inode);
    this.#enlist(path);
  }

  /** A file of another program, durable at once. */
  place(path: string, bytes: Uint8Array): Inode {
    const inode = new Inode();
    inode.bytes = Uint8Array.from(bytes);
    inode.durable = inode.bytes;
    this.#names.set(path, inode);
    this.#durableNames.set(path, inode);
    this.#enlist(path);
    return inode;
  }

  /** A file that nobody needs after a crash: written without a sync, in place of another of the name. */
  replace(path: string, bytes: Uint8Array): void {
    if (this.find(path) !== null) this.unlink(path);
    this.write(path, this.create(path), { offset: 0, bytes });
  }

  /** Of all files. */
  paths(): string[] {
    return [...this.#names.keys()];
  }

  get isFull(): boolean {
    return this.#faults.isFull();
  }

  #change(renaming: Renaming): void {
    const { set, removed } = renaming;
    if (removed !== null) {
      must(this.#names.delete(removed) || null, `${removed} is there`);
      this.#strike(removed);
    }
    if (set !== null) {
      this.#names.set(set.path, set.inode);
      this.#enlist(set.path);
    }
    this.#renamings.push(renaming);
  }
}

function failOn(outcome: Outcome, path: string): void {
  if (outcome === "EIO" || outcome === "ENOSPC") throw new DiskError(outcome, path);
}

function written(
  bytes: Uint8Array<ArrayBuffer>,
  { offset, bytes: part }: Write,
): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(Math.max(bytes.length, offset + part.length));
  result.set(bytes);
  result.set(part, offset);
  return result;
}
