// The Parquet files of one epoch of one table: a file per day, fed through a stage so that pages have many rows. In memory only;
// epochs, names and disks are table.ts's.
import { EPOCH_BYTES_MAX, EPOCH_DAYS_MAX, STAGE_BYTES, STAGE_ROWS } from "../limits.ts";
import type { FileColumn } from "./chunk.ts";
import { ParquetFile, type FinishedFile } from "./parquet-file.ts";
import type { ExportRoom } from "./room.ts";
import { Stage, type Constant } from "./stage.ts";

/** A finished file and its day since the epoch, null when the table has no days. */
export interface FinishedDay {
  readonly day: number | null;
  readonly file: FinishedFile;
}

/** Rows on their way into files. `dayColumn`: ordinal in the image of the column whose day parts the table, or null. */
export class DayFiles {
  readonly #room: ExportRoom;
  readonly #columns: readonly FileColumn[];
  readonly #stage: Stage;
  #files = new Map<number | null, ParquetFile>();
  #rowCount = 0;

  constructor(room: ExportRoom, columns: readonly FileColumn[], dayColumn: number | null) {
    this.#room = room;
    this.#columns = columns;
    this.#stage = new Stage(room, dayColumn);
  }

  /** Rows added since the last `finish`. */
  get rowCount(): number {
    return this.#rowCount;
  }

  /** Whether memory bounds ask for an end of the epoch. */
  get isFull(): boolean {
    if (this.#files.size > EPOCH_DAYS_MAX) return true;
    let bytes = this.#stage.imageBytes;
    for (const file of this.#files.values()) bytes += file.heldBytes;
    return bytes > EPOCH_BYTES_MAX;
  }

  /** Adds all rows of an image, which must not change until they are written. */
  add(image: Uint8Array, rowCount: number, constants: readonly Constant[]): void {
    this.#stage.add(image, constants);
    this.#rowCount += rowCount;
    if (this.#stage.rowCount >= STAGE_ROWS || this.#stage.imageBytes >= STAGE_BYTES) this.#encode();
  }

  /** Ends all files, in the order of their days; the next row begins new ones. */
  finish(): FinishedDay[] {
    this.#encode();
    const days = [...this.#files]
      .map(([day, file]) => ({ day, file: file.finish() }))
      .toSorted((a, b) => (a.day ?? 0) - (b.day ?? 0));
    this.#files = new Map();
    this.#rowCount = 0;
    return days;
  }

  #encode(): void {
    if (this.#stage.rowCount === 0) return;
    for (const { day, slices } of this.#stage.take()) {
      let file = this.#files.get(day);
      if (file === undefined) {
        file = new ParquetFile(this.#room, this.#columns);
        this.#files.set(day, file);
      }
      file.add(slices);
    }
  }
}
