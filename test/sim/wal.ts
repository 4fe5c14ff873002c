// Stands in for log/wal-room.ts and log/wal-check.ts, which read and write the bytes of a -wal: the simulated SQLite has none. They have tests
// of their own on real files.
import { machine } from "./machine-now.ts";

/** Sizes of a -wal as the simulated SQLite counts them. */
export class WalRoom {
  readonly #path: string;

  constructor(path: string, _fileSizeBytes: number) {
    this.#path = path;
  }

  get usedBytes(): number {
    return machine().disk.find(this.#path)?.sizeBytes ?? 0;
  }

  get sizeBytes(): number {
    return this.usedBytes;
  }

  committed(_payloadBytes: number): void {}

  close(): void {}
}

export function checkWalEnd(_path: string): void {}
