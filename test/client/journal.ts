// What the independent client writes down: each body before it is sent, each answer when it is there. Client and comparison read it; neither imports
// anything of Millrace (client.test.ts holds that), so that no mistake of ours can be on both sides.
import { appendFileSync, existsSync, readFileSync } from "node:fs";

/** A body: events `first`, `first + 1`, ... of a lane at the time `atMs`; then the last ones of its body before, again; then lines that are no events. */
export interface Body {
  readonly lane: string;
  readonly first: number;
  readonly events: number;
  readonly atMs: number;
  readonly repeated: number;
  readonly rejected: number;
}

/** What the appliance said of a body. */
export interface Told {
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: number;
  readonly position: number;
}

type Line =
  | { readonly kind: "sent"; readonly body: Body }
  | { readonly kind: "again"; readonly lane: string; readonly rejected: number }
  | { readonly kind: "told"; readonly lane: string; readonly told: Told }
  | { readonly kind: "wrong"; readonly lane: string; readonly text: string };

/** One of so many events is late, by up to so many seconds. */
const LATE_EVERY = 10;
const LATE_S_MAX = 5400;
/** A body of more events may be in several records of the log, so that a part of it is stored when the appliance dies. */
export const WHOLE_EVENTS_MAX = 2000;

const EVENT_TYPES = ["view", "cart"] as const;

/** An event as it is sent and as it must come back; the price is its number. */
export interface Event {
  readonly id: string;
  readonly timeMs: number;
  readonly type: string;
  readonly category: string;
  readonly price: number;
}

/** Event `number` of a lane, in a body of the time `atMs`. */
export function eventOf(lane: string, number: number, atMs: number): Event {
  const random = Math.imul(number + 1, 0x9e3779b1) >>> 8;
  const lateS = random % LATE_EVERY === 0 ? random % LATE_S_MAX : 0;
  return {
    id: `${lane}-${number}`,
    timeMs: atMs - lateS * 1000,
    type: EVENT_TYPES[random % 2] ?? "view",
    category: `c${random % 7}`,
    price: number,
  };
}

/** A lane so far: the answered bodies in order, the one without an answer, and what was not as promised. */
export interface Lane {
  readonly name: string;
  readonly bodies: (Body & { readonly told: Told })[];
  unanswered: Body | null;
  /** Each line that is no event may be stored once for each time that it was sent. */
  rejectedSent: number;
  readonly wrong: string[];
}

export class Journal {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  sent(body: Body): void {
    this.#append({ kind: "sent", body });
  }

  /** A body that was answered is sent once more. */
  again({ lane, rejected }: Body): void {
    this.#append({ kind: "again", lane, rejected });
  }

  told(lane: string, told: Told): void {
    this.#append({ kind: "told", lane, told });
  }

  wrong(lane: string, text: string): void {
    this.#append({ kind: "wrong", lane, text });
  }

  #append(line: Line): void {
    appendFileSync(this.#path, `${JSON.stringify(line)}\n`);
  }

  /** Lanes by name. */
  read(): Map<string, Lane> {
    const lanes = new Map<string, Lane>();
    const text = existsSync(this.#path) ? readFileSync(this.#path, "utf8") : "";
    for (const line of text.split("\n").filter(Boolean)) {
      const said = JSON.parse(line) as Line;
      const name = said.kind === "sent" ? said.body.lane : said.lane;
      const lane = lanes.get(name) ?? {
        name,
        bodies: [],
        unanswered: null,
        rejectedSent: 0,
        wrong: [],
      };
      lanes.set(name, lane);
      follow(lane, said);
    }
    return lanes;
  }
}

function follow(lane: Lane, line: Line): void {
  switch (line.kind) {
    case "sent":
      lane.unanswered = line.body;
      lane.rejectedSent += line.body.rejected;
      break;
    case "again":
      lane.rejectedSent += line.rejected;
      break;
    case "told":
      if (lane.unanswered === null) lane.wrong.push("an answer to nothing");
      else lane.bodies.push({ ...lane.unanswered, told: line.told });
      lane.unanswered = null;
      break;
    case "wrong":
      lane.wrong.push(line.text);
      break;
  }
}
