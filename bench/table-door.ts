// Makes one table of a running appliance unwritable, as a disk or a mount that is gone would: a file stands where the folder of its data
// files was. Everything else of the warehouse goes on, and files that were written are untouched.
import { existsSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export class TableDoor {
  readonly #data: string;

  /** `table`: such as "default/clicks_raw". */
  constructor(dataFolder: string, table: string) {
    this.#data = join(dataFolder, "warehouse", table, "data");
  }

  /** Whether the table has data files. */
  get hasFiles(): boolean {
    return existsSync(this.#data) && readdirSync(this.#data).length > 0;
  }

  shut(): void {
    const sign = `${this.#data}.shut`;
    writeFileSync(sign, "");
    renameSync(this.#data, `${this.#data}.away`);
    renameSync(sign, this.#data);
  }

  open(): void {
    rmSync(this.#data);
    renameSync(`${this.#data}.away`, this.#data);
  }
}
