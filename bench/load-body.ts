// Bodies of clicks that a load client can send without end: generated once from a seed, then only what changed of ids and times is
// written anew in place (some 15 ns an event), so that the client takes as little of the two cores as it can.

/** The ten members of a bench click; 310 bytes a line on average. Matches bench/clicks.avsc. */
const EVENT_TYPES = ["view", "view", "view", "view", "cart", "purchase"];
const COUNTRIES = ["DE", "FR", "PL", "US", "IN", "BR", "JP", "GB", "ES", "IT"];
const ID_DIGITS = 10;
const CATEGORY_DIGITS = 6;
const TIME_TEXT = "2026-01-01T00:00:00.000Z";

/** mulberry32: a small seeded generator, the same everywhere. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const ZERO = 48;

/** Where the milliseconds stand in a time's text. */
const MS_AT = TIME_TEXT.length - "000Z".length;

/** Writes the last `digits` decimal digits of `value` from `at` on. */
function writeDigits(bytes: Uint8Array, at: number, digits: number, value: number): void {
  let rest = value;
  for (let place = at + digits - 1; place >= at; place--) {
    const next = Math.floor(rest / 10);
    bytes[place] = ZERO + rest - 10 * next;
    rest = next;
  }
}

/** A text that stands in every row. Ids count up and clocks go on: between two forms mostly the last two or three digits differ. */
class Stamp {
  /** The form to write next: to be filled whole. */
  readonly next: Uint8Array;
  readonly #text: Uint8Array;
  readonly #at: Int32Array;

  /** `at`: where the text begins in each row. */
  constructor(at: Int32Array, length: number) {
    this.next = new Uint8Array(length);
    this.#text = new Uint8Array(length);
    this.#at = at;
  }

  /** Writes what differs into every row. */
  write(bytes: Uint8Array): void {
    const { next } = this;
    const text = this.#text;
    let first = 0;
    while (first < text.length && text[first] === next[first]) first++;
    if (first === text.length) return;
    text.set(next);
    const at = this.#at;
    for (let row = 0; row < at.length; row++) {
      const begin = at[row] ?? 0;
      for (let place = first; place < text.length; place++) bytes[begin + place] = text[place] ?? 0;
    }
  }
}

/** A body whose ids and times can be rewritten. `bytes` is NDJSON. */
export class LoadBody {
  readonly bytes: Uint8Array;
  readonly events: number;
  readonly #ids: Stamp;
  readonly #times: Stamp;
  readonly #categoryAt: Int32Array;
  readonly #categories: number;
  #second = Number.NaN;

  private constructor(
    bytes: Uint8Array,
    at: { readonly id: Int32Array; readonly time: Int32Array; readonly category: Int32Array },
    categories: number,
  ) {
    this.bytes = bytes;
    this.events = at.id.length;
    this.#ids = new Stamp(at.id, ID_DIGITS);
    this.#times = new Stamp(at.time, TIME_TEXT.length);
    this.#categoryAt = at.category;
    this.#categories = categories;
  }

  /** `users` and `categories` bound the cardinalities. */
  static make(options: {
    readonly seed: number;
    readonly events: number;
    readonly users: number;
    readonly categories: number;
  }): LoadBody {
    const random = seeded(options.seed);
    const pick = (n: number): number => Math.floor(random() * n);
    const idAt = new Int32Array(options.events);
    const timeAt = new Int32Array(options.events);
    const categoryAt = new Int32Array(options.events);
    let text = "";
    for (let row = 0; row < options.events; row++) {
      const id = `${"0".repeat(ID_DIGITS)}-${String(row).padStart(6, "0")}`;
      const user = String(500_000_000 + pick(options.users));
      const category = `electronics.department_${String(pick(options.categories)).padStart(CATEGORY_DIGITS, "0")}`;
      idAt[row] = text.length + '{"event_id":"'.length;
      timeAt[row] = text.length + `{"event_id":"${id}","event_time":"`.length;
      const line = JSON.stringify({
        event_id: id,
        event_time: TIME_TEXT,
        event_type: EVENT_TYPES[pick(EVENT_TYPES.length)],
        user_id: user,
        session_id: `72d76fde-8bb3-4e00-${pick(65536).toString(16).padStart(4, "0")}-a032${pick(4294967296).toString(16).padStart(8, "0")}`,
        page_url: `/catalog/${category}/item-${String(pick(100_000)).padStart(6, "0")}`,
        category,
        brand: `brand-${pick(300)}`,
        price: Number((pick(200_000) / 100).toFixed(2)),
        country: COUNTRIES[pick(COUNTRIES.length)],
      });
      categoryAt[row] = text.length + line.indexOf('"brand"') - CATEGORY_DIGITS - 2;
      text += `${line}\n`;
    }
    return new LoadBody(
      new TextEncoder().encode(text),
      { id: idAt, time: timeAt, category: categoryAt },
      options.categories,
    );
  }

  /** Gives every event an id that begins with `sequence` and the time `epochMs`, whole ms. */
  stamp(sequence: number, epochMs: number): void {
    writeDigits(this.#ids.next, 0, ID_DIGITS, sequence);
    this.#ids.write(this.bytes);
    this.#setTime(epochMs);
    this.#times.write(this.bytes);
  }

  #setTime(epochMs: number): void {
    const second = Math.floor(epochMs / 1000);
    const { next } = this.#times;
    if (second === this.#second) writeDigits(next, MS_AT, 3, epochMs - second * 1000);
    else new TextEncoder().encodeInto(new Date(epochMs).toISOString(), next);
    this.#second = second;
  }

  /** Gives the events the next categories in turn, so that every one of them occurs. */
  spread(sequence: number): void {
    const first = sequence * this.events;
    for (let row = 0; row < this.events; row++)
      writeDigits(
        this.bytes,
        this.#categoryAt[row] ?? 0,
        CATEGORY_DIGITS,
        (first + row) % this.#categories,
      );
  }
}
