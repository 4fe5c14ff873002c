// Room for full segments of ids, shared with the thread that saves them and used again once they are saved: new memory for each costs the
// admission of its ids up to twice the time, spent on pages that are touched for the first time.
import { ID_ENTRY_BYTES } from "../../kernels/abi.ts";
import { DELTA_IDS_DUE } from "../limits.ts";
import { SEGMENT_ENTRIES } from "./buffers.ts";
import { segmentBytes, type AdmissionSegment } from "./checkpoint.ts";

/** Rooms that are kept: for the ids of two checkpoints. */
const ROOMS_MAX = Math.ceil((2 * DELTA_IDS_DUE) / SEGMENT_ENTRIES);
/** For the header and the stream's name. */
const HEAD_BYTES_MAX = 4096;
const ROOM_BYTES = HEAD_BYTES_MAX + SEGMENT_ENTRIES * ID_ENTRY_BYTES;

export class SegmentRooms {
  #free: SharedArrayBuffer[] = [];

  /** Room for a segment of `ids` ids of a stream; undefined = let it have memory of its own, as small ones have. */
  take(stream: string, ids: number): Uint8Array | undefined {
    const bytes = segmentBytes(stream, ids);
    if (ids < SEGMENT_ENTRIES || bytes > ROOM_BYTES) return undefined;
    return new Uint8Array(this.#free.pop() ?? new SharedArrayBuffer(ROOM_BYTES), 0, bytes);
  }

  /** The segments are saved: nobody reads them any more. */
  giveBack(segments: readonly Pick<AdmissionSegment, "bytes">[]): void {
    for (const { bytes } of segments) {
      const { buffer } = bytes;
      if (buffer instanceof SharedArrayBuffer && this.#free.length < ROOMS_MAX)
        this.#free.push(buffer);
    }
  }
}
