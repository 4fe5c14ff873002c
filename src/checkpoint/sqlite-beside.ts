// A connection that reads state.db beside the thread that writes it: each answer is as the last checkpoint has it.
import { Database } from "bun:sqlite";
import { openError } from "./sqlite-damage.ts";

export class StateBeside {
  readonly path: string;
  readonly #database: Database;

  constructor(path: string) {
    this.path = path;
    this.#database = new Database(path, { readonly: true });
    this.#database.run("PRAGMA busy_timeout = 5000");
  }

  /** What `question` gives; throws as it does, and CheckpointError when the file is damaged. */
  ask<T>(question: (database: Database) => T): T {
    try {
      return question(this.#database);
    } catch (error) {
      throw openError(error, this.path);
    }
  }

  close(): void {
    this.#database.close(true);
  }
}
