// Savepoints as the product's threads see them: the export stands still while state and tables are copied, and unlinks nothing until the copy of the
// log is done. What is copied is held by real savepoints of their own tests; here it is that nothing leaves meanwhile, and that all goes on.
import type { Fleet } from "../../src/threads/fleet.ts";
import type { Appliance } from "./appliance.ts";
import type { SimDisk } from "./disk.ts";
import type { Fault } from "./faults.ts";
import type { Actor, Scheduler } from "./scheduler.ts";

interface FreezeParts {
  readonly appliance: Appliance;
  readonly disk: SimDisk;
  readonly scheduler: Scheduler;
  readonly violated: (what: string) => void;
  readonly say: (line: string) => void;
}

type Savepoint = Extract<Fault, { kind: "savepoint" }>;

/** What a savepoint does not copy: names that come and go. */
const PASSING = /\.tmp$|\/tmp\/|-wal$|version-hint|\/ids\//;

export class Freezes {
  readonly #parts: FreezeParts;
  /** The process that makes one: one at a time. */
  #of: Actor | null = null;

  constructor(parts: FreezeParts) {
    this.#parts = parts;
  }

  /** Takes a savepoint of the process that runs. One that ends meanwhile ends it. */
  take({ copyUs, logUs }: Savepoint): void {
    const { appliance, scheduler, say, disk } = this.#parts;
    const { fleet, main } = appliance;
    if (fleet === null || appliance.isStopping || this.#of === main) return;
    this.#of = main;
    scheduler.after(0, main, () => {
      say("savepoint: freeze");
      void this.#whenFrozen(fleet, () => {
        const files = disk.paths().filter((path) => !PASSING.test(path));
        say(`savepoint: frozen with ${files.length} files`);
        appliance.beforeStop = () => this.#end(fleet, files);
        scheduler.after(copyUs, main, () => {
          if (appliance.beforeStop === null) return;
          say("savepoint: thaw");
          fleet.thaw();
          scheduler.after(logUs, main, () => appliance.endSavepoint());
        });
      });
    });
  }

  async #whenFrozen(fleet: Fleet, then: () => void): Promise<void> {
    await fleet.freeze();
    then();
  }

  #end(fleet: Fleet, files: readonly string[]): void {
    const { disk, say, violated } = this.#parts;
    this.#of = null;
    const gone = files.find((path) => disk.find(path) === null);
    if (gone !== undefined) violated(`${gone} was unlinked while a savepoint copies it`);
    say("savepoint: done");
    fleet.letGo();
  }
}
