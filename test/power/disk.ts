// A disk whose power can be cut, of what Linux has for its own tests: an ext4 file system on a loop device (the *data* file system) whose file lies on another ext4
// file system on a loop device (the *cache*). Pages of the data file system that nobody synced are in memory only. What it gave to its device lies in pages of the cache's
// file, as in the volatile cache of a drive, until the device is told to flush: then they go to the file below, the platter. A cut is ext4's shutdown
// (EXT4_IOC_SHUTDOWN without a flush of its journal, what xfstests call `godown`): from one moment on the file system writes nothing more.
//
// It is the machine's kernel, so it needs root. Owns mounting, the cut and its control; knows nothing of Millrace.
import { dlopen, FFIType } from "bun:ffi";
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** include/uapi/linux/ext4.h; 2: EXT4_GOING_FLAGS_NOLOGFLUSH. */
const EXT4_IOC_SHUTDOWN = 0x8004587d;
const NO_LOG_FLUSH = new Uint32Array([2]);
/** linux/fs.h */
const SYNC_FILE_RANGE_WAIT_BEFORE = 1;
const SYNC_FILE_RANGE_WRITE = 2;
const SYNC_FILE_RANGE_WAIT_AFTER = 4;
const ALL = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;

/** Size of the data file system: Millrace leaves more than a GB of it free. The files are sparse: little of it is ever on the machine's disk. */
const DATA_MB = 2500;
const UNDER_MB = DATA_MB + 150;
/** Neither journal commits by itself while a test runs; only a sync does. */
const MOUNT = "loop,commit=3600";

const UNMOUNT_TRIES = 100;
const UNMOUNT_WAIT_MS = 20;

/**
 * mke2fs makes a file of that size whose blocks count as written (they read as zeros), so that bytes in the cache can reach the platter without a
 * change of the file's map. Where encryption may be, ext4 keeps and writes pages one by one, not in large folios.
 */
const CACHE_PROFILE = `[fs_types]
  ext4 = {
    features = has_journal,extent,huge_file,flex_bg,metadata_csum,64bit,dir_nlink,extra_isize
    inode_size = 256
  }
  cache = {
    features = encrypt
    make_hugefiles = true
    num_hugefiles = 1
    hugefiles_size = ${DATA_MB}M
    hugefiles_name = data
    hugefiles_digits = 0
    hugefiles_umask = 077
    zero_hugefiles = false
  }
`;

/**
 * What a drive does with writes that it took and was not told to flush. "lost": none of them is there after the cut; "some": any, whatever their order,
 * 4 KB each; "kept": all of them.
 */
export type Cut = "lost" | "some" | "kept";
export const CUTS: readonly Cut[] = ["lost", "some", "kept"];

function libc() {
  return dlopen("libc.so.6", {
    ioctl: { args: [FFIType.i32, FFIType.u64, FFIType.ptr], returns: FFIType.i32 },
    sync_file_range: {
      args: [FFIType.i32, FFIType.i64, FFIType.i64, FFIType.u32],
      returns: FFIType.i32,
    },
  }).symbols;
}

function command(...cmd: readonly string[]): void {
  const { success, stderr } = Bun.spawnSync([...cmd], { stderr: "pipe", stdout: "ignore" });
  if (!success) throw new Error(`${cmd.join(" ")}: ${stderr.toString().trim()}`);
}

/** Why no such disk can be made here; null: it can. */
export function whyNoPowerDisk(): string | null {
  const folder = mkdtempSync(join(tmpdir(), "millrace-power-"));
  try {
    PowerDisk.make(folder).dispose();
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export class PowerDisk {
  /** Where the data file system is mounted. */
  readonly path: string;
  readonly #cache: string;
  readonly #under: string;
  readonly #libc = libc();
  readonly #mounted: string[] = [];

  private constructor(folder: string) {
    this.path = join(folder, "data");
    this.#cache = join(folder, "cache");
    this.#under = join(folder, "platter");
  }

  /** A new, empty disk with its files in `folder`, mounted. Throws where mounting is not allowed, with nothing left mounted. */
  static make(folder: string): PowerDisk {
    const disk = new PowerDisk(folder);
    try {
      disk.#format(folder);
      disk.mount();
      return disk;
    } catch (error) {
      disk.dispose();
      throw error;
    }
  }

  #format(folder: string): void {
    for (const path of [this.path, this.#cache]) mkdirSync(path, { recursive: true });
    writeFileSync(this.#under, "");
    truncateSync(this.#under, UNDER_MB * 2 ** 20);
    const profile = join(folder, "mke2fs.conf");
    writeFileSync(profile, CACHE_PROFILE);
    const make = `mke2fs -q -t ext4 -T cache -b 4096 -J size=8 ${this.#under}`;
    command("env", `MKE2FS_CONFIG=${profile}`, ...make.split(" "));
    this.#mount(this.#under, this.#cache);
    command("mkfs.ext4", "-q", "-b", "4096", "-J", "size=16", "-E", "nodiscard", this.#file);
    this.#unmount();
  }

  get #file(): string {
    return join(this.#cache, "data");
  }

  #mount(file: string, at: string): void {
    command("mount", "-o", MOUNT, file, at);
    this.#mounted.unshift(at);
  }

  /** As at a start of the machine: the journals of both file systems are replayed. */
  mount(): void {
    this.#mount(this.#under, this.#cache);
    this.#mount(this.#file, this.path);
  }

  /**
   * The power goes. Whoever has files open gets errors from now on and is to be killed; then `restore`. `random` is from [0, 1).
   */
  cut(how: Cut, random: () => number): void {
    if (how === "some") this.#writeOut(random);
    this.#shutDown(how === "kept" ? this.path : this.#cache);
  }

  /** Half of the pages that the drive may hold back reach the platter, runs of a few of them. */
  #writeOut(random: () => number): void {
    const file = openSync(this.#file, "r+");
    const end = DATA_MB * 2 ** 20;
    for (let at = 0; at < end;) {
      const bytes = 4096 * (1 + Math.floor(random() * 8));
      if (random() < 0.5) this.#libc.sync_file_range(file, at, bytes, SYNC_FILE_RANGE_WRITE);
      at += bytes;
    }
    closeSync(file);
  }

  #shutDown(path: string): void {
    const folder = openSync(path, "r");
    const failed = this.#libc.ioctl(folder, EXT4_IOC_SHUTDOWN, NO_LOG_FLUSH);
    closeSync(folder);
    if (failed !== 0) throw new Error(`the kernel does not shut ${path} down`);
  }

  /** Gives a file's pages to the drive, which is not told to flush them: the state in which a cut finds a disk in the middle of an fsync. */
  giveToDrive(path: string): void {
    const file = openSync(path, "r+");
    this.#libc.sync_file_range(file, 0, 0, ALL);
    closeSync(file);
  }

  /** The power is back. Nobody may have a file of the disk open. */
  restore(): void {
    this.#unmount();
    this.mount();
  }

  /** A killed process has its files open for a moment more. */
  #unmount(): void {
    for (let tries = 1; this.#mounted[0] !== undefined; tries++) {
      try {
        command("umount", this.#mounted[0]);
        this.#mounted.shift();
      } catch (error) {
        if (tries === UNMOUNT_TRIES) throw error;
        Bun.sleepSync(UNMOUNT_WAIT_MS);
      }
    }
  }

  /** Takes the mounts away, also while a file is open. */
  dispose(): void {
    for (const path of this.#mounted.splice(0))
      Bun.spawnSync(["umount", "--lazy", path], { stderr: "ignore" });
  }
}
