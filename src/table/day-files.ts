// The Parquet files of one epoch of one table: a file per day, fed through a stage so that pages have many rows. Rows of more days than an
// epoch should have stay in their stage until the files are written, some days at a time. In memory only; epochs, names and disks are
// table-export.ts's.
import { EPOCH_BYTES_MAX, EPOCH_DAYS_MAX, STAGE_BYTES, STAGE_ROWS } from "../limits.ts";
import type { FileColumn } from "./chunk.ts";
import { ParquetFile, type FinishedFile } from "./parquet-file.ts";
import type { ExportRoom } from "./room.ts";
import { Stage, type Constant, type DayColumn } from "./stage.ts";

/** A finished file and its day since the epoch, null when the table has no days. */
export interface FinishedDay {
  readonly day: number | null;
  readonly file: FinishedFile;
}

type OpenFiles = Map<number | null, ParquetFile>;

/** Rows on their way into files. */
export class DayFiles {
  readonly #room: ExportRoom;
  readonly #columns: readonly FileColumn[];
  readonly #dayColumn: DayColumn;
  #stage: Stage;
  /** Full stages of too many days: their rows are in no file yet. */
  #wide: Stage[] = [];
  #files: OpenFiles = new Map();
  #rowCount = 0;

  constructor(room: ExportRoom, columns: readonly FileColumn[], dayColumn: DayColumn) {
    this.#room = room;
    this.#columns = columns;
    this.#dayColumn = dayColumn;
    this.#stage = new Stage(room, dayColumn);
  }

  /** Rows added since the last `finish`. */
  get rowCount(): number {
    return this.#rowCount;
  }

  /** Whether memory bounds ask for an end of the epoch. */
  get isFull(): boolean {
    if (this.#files.size > EPOCH_DAYS_MAX || this.#wide.length > 0 || this.#stage.isWide)
      return true;
    let bytes = this.#stage.imageBytes;
    for (const file of this.#files.values()) bytes += file.heldBytes;
    return bytes > EPOCH_BYTES_MAX;
  }

  /** Adds all rows of an image, which must not change until they are written. */
  add(image: Uint8Array, rowCount: number, constants: readonly Constant[]): void {
    this.#stage.add(image, constants);
    this.#rowCount += rowCount;
    if (this.#stage.rowCount >= STAGE_ROWS || this.#stage.imageBytes >= STAGE_BYTES) this.#empty();
  }

  /** Ends the epoch; the next row begins a new one. */
  finish(): EpochFiles {
    this.#empty();
    const files = new EpochFiles(this.#room, this.#columns, {
      files: this.#files,
      stages: this.#wide,
    });
    this.#files = new Map();
    this.#wide = [];
    this.#rowCount = 0;
    return files;
  }

  #empty(): void {
    const stage = this.#stage;
    if (stage.isWide) {
      this.#wide.push(stage);
      this.#stage = new Stage(this.#room, this.#dayColumn);
    } else if (stage.rowCount > 0) {
      addTo(this.#files, stage.take(), () => new ParquetFile(this.#room, this.#columns));
    }
  }
}

/** Files of an ended epoch, in the order of their days: finished as they are asked for, and held until they are written. */
export class EpochFiles {
  readonly #room: ExportRoom;
  readonly #columns: readonly FileColumn[];
  readonly #files: OpenFiles;
  readonly #stages: readonly Stage[];
  /** Days that are not finished. */
  readonly #days: (number | null)[];
  #finished: FinishedDay[] = [];
  /** They take no other file's place. */
  readonly removed: readonly string[] = [];

  constructor(
    room: ExportRoom,
    columns: readonly FileColumn[],
    rows: { readonly files: OpenFiles; readonly stages: readonly Stage[] },
  ) {
    this.#room = room;
    this.#columns = columns;
    this.#files = rows.files;
    this.#stages = rows.stages;
    const days = [...rows.files.keys(), ...rows.stages.flatMap((stage) => [...stage.days()])];
    this.#days = [...new Set(days)].toSorted((a, b) => (a ?? 0) - (b ?? 0));
  }

  /** Files that are not written, and perhaps days without rows. */
  get left(): number {
    return this.#finished.length + this.#days.length;
  }

  /** The next file; when none is held `ahead` are finished together. Undefined after the last. */
  next(ahead: number): FinishedDay | undefined {
    while (this.#finished.length === 0 && this.#days.length > 0) this.#finishDays(ahead);
    return this.#finished[0];
  }

  /** The next file is written: it is let go. */
  written(): void {
    this.#finished.shift();
  }

  #finishDays(count: number): void {
    const days = this.#days.splice(0, count);
    const wanted = new Set(days);
    for (const stage of this.#stages)
      addTo(this.#files, stage.takeDays(wanted), () => new ParquetFile(this.#room, this.#columns));
    for (const day of days) {
      const file = this.#files.get(day);
      this.#files.delete(day);
      if (file !== undefined) this.#finished.push({ day, file: file.finish() });
    }
  }
}

function addTo(files: OpenFiles, rows: ReturnType<Stage["take"]>, begin: () => ParquetFile): void {
  for (const { day, slices } of rows) {
    let file = files.get(day);
    if (file === undefined) {
      file = begin();
      files.set(day, file);
    }
    file.add(slices);
  }
}
