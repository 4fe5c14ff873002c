// Verbs: a file -> its SHA-256, and a copy of it with the SHA-256 of what was copied. In pieces: each `yield` is a moment to do other things.
import type { Step } from "../base/failpoints.ts";
import type { Files } from "../base/files.ts";
import { SAVEPOINT_PIECE_BYTES } from "../limits.ts";

/** What was read of a file. */
export interface Hashed {
  readonly bytes: number;
  readonly sha256: string;
}

/** Reads a file, one piece at a time, and yields the bytes of each. Throws OS errors. */
export function* hashFile(files: Files, path: string): Generator<number, Hashed> {
  return yield* readPieces(files, path, () => {});
}

/** Copies a file to a new one, synced. When it is given up or fails, the new one is gone. `room` is told each piece's bytes before it is written. Throws OS errors, and what `room` does. */
export function* copyFile(
  files: Files,
  {
    from,
    to,
    room,
  }: {
    readonly from: string;
    readonly to: string;
    readonly room?: (bytes: number) => void;
  },
  steps: Readonly<Record<"create" | "sync" | "abandon", Step>>,
): Generator<number, Hashed> {
  const target = files.create(to, steps.create);
  let isDone = false;
  try {
    let isBegun = false;
    const hashed = yield* readPieces(files, from, (piece) => {
      // in small portions: one sync of all at the end would hold up everybody's syncs
      if (isBegun) files.sync(to, steps.sync);
      room?.(piece.length);
      target.write(piece);
      isBegun = true;
    });
    target.finish(steps.sync);
    isDone = true;
    return hashed;
  } finally {
    if (!isDone) target.abandon(steps.abandon);
  }
}

function* readPieces(
  files: Files,
  path: string,
  take: (piece: Uint8Array) => void,
): Generator<number, Hashed> {
  const hasher = new Bun.CryptoHasher("sha256");
  const source = files.open(path);
  try {
    const room = new Uint8Array(Math.min(SAVEPOINT_PIECE_BYTES, source.sizeBytes));
    for (let at = 0; at < source.sizeBytes;) {
      const piece = room.subarray(0, Math.min(room.length, source.sizeBytes - at));
      source.read(at, piece);
      hasher.update(piece);
      take(piece);
      at += piece.length;
      yield piece.length;
    }
    return { bytes: source.sizeBytes, sha256: hasher.digest("hex") };
  } finally {
    source.close();
  }
}
