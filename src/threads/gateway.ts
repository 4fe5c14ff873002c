// Main's side of ingest: puts bodies into slots, hands slots to the engine, and answers each request once the position that holds its
// events is durable. Wiring: what becomes of an event is decided by the engine's steps.
import type { AdmissionFull } from "../admit/admission.ts";
import type { AnswerError, Outcome } from "../admit/intake.ts";
import { listedErrors } from "../event/reject.ts";
import {
  SLOT_BYTES,
  SOURCE_PARTITIONS_MAX,
  SLOT_COUNT,
  SLOTS_ON_THE_WAY,
  WAITING_BYTES_MAX,
  WAITING_REQUESTS_MAX,
} from "../limits.ts";
import {
  IDEMPOTENCY_HEADER,
  PARTITION_HEADER,
  type Ingest,
  type IngestAnswer,
  type Offer,
  type Refusal,
} from "../serve/deps.ts";
import { unpackAnswers } from "./answers.ts";
import type { Answers, DecidedByKey, EngineToMain, MainToEngine } from "./messages.ts";
import { LARGE_SLOT, Slots } from "./slots.ts";

type FullReason = AdmissionFull["reason"] | "keys";
type Reply = (answer: IngestAnswer | Refusal) => void;

/** A request whose events are on their way: counts of the parts decided so far. */
interface Open {
  readonly reply: Reply;
  /** Its stream and Idempotency-Key; null = it has none. */
  readonly place: string | null;
  accepted: number;
  duplicates: number;
  rejected: number;
  errors: AnswerError[];
}

interface Waiting {
  readonly request: number;
  readonly offer: Offer;
}

/** A slot that takes bodies of one stream, and the source partitions that they come from. */
interface Filling {
  readonly slot: number;
  readonly partitions: string[];
  readonly keys: { readonly request: number; readonly key: string }[];
}

/** Why nothing is taken at the moment, or null. */
export type Refuse = () => Refusal | null;

const BUSY: Refusal = {
  kind: "refusal",
  status: 503,
  code: "busy",
  detail: "too many requests wait to be taken; send again after the time in Retry-After",
  retryAfterS: 1,
};

const IN_WORK: Refusal = {
  kind: "refusal",
  status: 409,
  code: "request_in_work",
  detail: `a request with this ${IDEMPOTENCY_HEADER} is in work; send it again after the time in Retry-After for its answer`,
  retryAfterS: 1,
};

const ANOTHER_BODY: Refusal = {
  kind: "refusal",
  status: 422,
  code: "key_of_another_body",
  detail: `this ${IDEMPOTENCY_HEADER} came with another body or format before, and nothing of this one was stored; give each request a key of its own, and send it again unchanged`,
};

/** Why there is no room, and what helps. Earlier parts of a large body may be stored: a retry gives duplicates, not doubles. */
const FULL: Readonly<Record<Exclude<FullReason, "partitions">, string>> = {
  ids: "as many event ids are live as dedup_ids_max and dedup_disk_max allow, or the disk is nearly full. Raise them or lower dedup_ttl, or send again later",
  memory: "the memory for event ids is full. Lower dedup_ttl, or send again later",
  checkpoint:
    "too many event ids or answers wait for a checkpoint: the disk is slow or full. Send again later",
  keys: `as many requests with an ${IDEMPOTENCY_HEADER} are kept as fit. Lower dedup_ttl, send larger bodies, or configure event_id and send without keys`,
};

function fullRefusal(reason: FullReason): Refusal {
  if (reason === "partitions")
    return {
      kind: "refusal",
      status: 429,
      code: "too_many_partitions",
      detail: `the stream has ${SOURCE_PARTITIONS_MAX} source partitions and none of them is idle: name fewer in ${PARTITION_HEADER}, or configure idle_after`,
      retryAfterS: 60,
    };
  return {
    kind: "refusal",
    status: 503,
    code: reason === "keys" ? "keys_full" : "dedup_full",
    detail: `${FULL[reason]}; of a body above some 8,000 events the beginning may be stored: told as duplicates then, or, with an ${IDEMPOTENCY_HEADER}, as accepted`,
    retryAfterS: 5,
  };
}

/** What a request gets whose key decides. */
function replyOf(decision: DecidedByKey): IngestAnswer | Refusal {
  if (decision.kind === "another body") return ANOTHER_BODY;
  if (decision.kind === "full") return fullRefusal(decision.reason);
  const { accepted, duplicates, rejected, errors, position } = decision.answer;
  return { kind: "answer", accepted, duplicates, rejected, errors, position, isReplay: true };
}

export class Gateway implements Ingest {
  readonly streams: readonly string[];
  readonly #slots: Slots;
  readonly #send: (message: MainToEngine) => void;
  readonly #refuse: Refuse;
  readonly #free: number[] = Array.from({ length: SLOT_COUNT }, (_, slot) => slot);
  #largeFree = true;
  /** The slot being filled, per stream. */
  readonly #filling = new Map<string, Filling>();
  #handOverScheduled = false;
  /** Slots that were handed over and have events that are not durable; without the large one. */
  #onTheWay = 0;
  readonly #open = new Map<number, Open>();
  /** Places of open requests with keys. */
  readonly #inWork = new Set<string>();
  #nextRequest = 1;
  /** Bodies that wait for a slot, and those that wait for the one large slot: neither holds the other up. */
  #waiting: Waiting[] = [];
  #waitingLarge: Waiting[] = [];
  #waitingBytes = 0;
  constructor(
    streams: readonly string[],
    slots: Slots,
    wires: { readonly send: (message: MainToEngine) => void; readonly refuse: Refuse },
  ) {
    this.streams = streams;
    this.#slots = slots;
    this.#send = wires.send;
    this.#refuse = wires.refuse;
  }

  /** Requests that were taken and not answered yet. */
  get openRequests(): number {
    return this.#open.size;
  }

  submit(offer: Offer, reply: Reply): void {
    const refusal = this.#refuse() ?? (this.#isBusy() ? BUSY : null);
    if (refusal !== null) return reply(refusal);
    const place = offer.key === undefined ? null : `${offer.stream}/${offer.key}`;
    if (place !== null && this.#inWork.has(place)) return reply(IN_WORK);
    if (place !== null) this.#inWork.add(place);
    const request = this.#nextRequest;
    this.#nextRequest = request === 0xffff_ffff ? 1 : request + 1;
    this.#open.set(request, { reply, place, accepted: 0, duplicates: 0, rejected: 0, errors: [] });
    const waiting = { request, offer };
    const queue = offer.bytes > SLOT_BYTES ? this.#waitingLarge : this.#waiting;
    if (queue.length === 0 && this.#place(waiting)) return undefined;
    queue.push(waiting);
    this.#waitingBytes += offer.bytes;
    return undefined;
  }

  /** A record with these outcomes is durable, or (position 0) there was nothing to write. */
  answered(position: number, answers: Answers): void {
    for (const outcome of unpackAnswers(answers)) this.#answer(position, outcome);
    this.#arrived(answers.slots);
  }

  /** Slots that others may go into. */
  emptied(slots: readonly number[]): void {
    for (const slot of slots) {
      if (slot === LARGE_SLOT) this.#largeFree = true;
      else this.#free.push(slot);
    }
    this.#waitingLarge = this.#placeAll(this.#waitingLarge);
    this.#waiting = this.#placeAll(this.#waiting);
  }

  /** Admission has no room for these requests. */
  full({ reason, requests, slots }: Extract<EngineToMain, { kind: "full" }>): void {
    for (const request of requests) this.#close(request)?.reply(fullRefusal(reason));
    this.#arrived(slots);
  }

  /** The key of a request says what it gets. */
  decided({ request, decision, slots }: Extract<EngineToMain, { kind: "decided" }>): void {
    this.#close(request)?.reply(replyOf(decision));
    this.#arrived(slots);
  }

  /** The request is answered: from now on its key may come again. */
  #close(request: number): Open | undefined {
    const open = this.#open.get(request);
    this.#open.delete(request);
    if (open !== undefined && open.place !== null) this.#inWork.delete(open.place);
    return open;
  }

  #isBusy(): boolean {
    return this.#waiting.length >= WAITING_REQUESTS_MAX || this.#waitingBytes >= WAITING_BYTES_MAX;
  }

  /** Puts a body into a slot; false when none is free. */
  #place(waiting: Waiting): boolean {
    const { stream, bytes } = waiting.offer;
    if (bytes > SLOT_BYTES) return this.#placeLarge(waiting);
    for (;;) {
      const filling = this.#filling.get(stream) ?? this.#begin(stream);
      if (filling === null) return false;
      if (this.#put(filling, waiting)) return true;
      this.#handOver(stream, filling);
    }
  }

  /** An empty slot for a stream; null when none is free. */
  #begin(stream: string): Filling | null {
    const slot = this.#free.pop();
    if (slot === undefined) return null;
    this.#slots.empty(slot);
    const filling = { slot, partitions: [], keys: [] };
    this.#filling.set(stream, filling);
    this.#scheduleHandOver();
    return filling;
  }

  #put({ slot, partitions, keys }: Filling, { request, offer }: Waiting): boolean {
    const { partition } = offer;
    const known = partitions.indexOf(partition);
    const ordinal = known === -1 ? partitions.length : known;
    const isPut = this.#slots.put(slot, offer, { request, partition: ordinal });
    if (isPut && known === -1) partitions.push(partition);
    if (isPut && offer.key !== undefined) keys.push({ request, key: offer.key });
    return isPut;
  }

  #placeLarge(waiting: Waiting): boolean {
    if (!this.#largeFree) return false;
    this.#largeFree = false;
    this.#slots.empty(LARGE_SLOT);
    const filling = { slot: LARGE_SLOT, partitions: [], keys: [] };
    this.#put(filling, waiting);
    this.#send({ kind: "submit", ...filling, parts: 1, stream: waiting.offer.stream });
    return true;
  }

  /**
   * Requests that arrive in the same turn of the event loop share a slot, and while SLOTS_ON_THE_WAY slots are with engine and log all
   * that arrive meanwhile do: a message wakes a thread, which costs more than the events of a small request.
   */
  #scheduleHandOver(): void {
    if (this.#handOverScheduled) return;
    this.#handOverScheduled = true;
    setImmediate(() => {
      this.#handOverScheduled = false;
      if (this.#onTheWay < SLOTS_ON_THE_WAY) this.#handOverAll();
    });
  }

  #handOverAll(): void {
    for (const [stream, filling] of this.#filling) this.#handOver(stream, filling);
  }

  #handOver(stream: string, filling: Filling): void {
    this.#filling.delete(stream);
    this.#onTheWay++;
    const parts = this.#slots.partCount(filling.slot);
    this.#send({ kind: "submit", ...filling, parts, stream });
  }

  /** So many slots are no longer on the way. */
  #arrived(slots: number): void {
    this.#onTheWay -= slots;
    if (this.#onTheWay < SLOTS_ON_THE_WAY) this.#handOverAll();
  }

  /** Places bodies in order while there is room; gives those that still wait. */
  #placeAll(queue: Waiting[]): Waiting[] {
    let placed = 0;
    for (const waiting of queue) {
      if (!this.#place(waiting)) break;
      this.#waitingBytes -= waiting.offer.bytes;
      placed++;
    }
    return placed > 0 ? queue.slice(placed) : queue;
  }

  #answer(position: number, outcome: Outcome): void {
    const open = this.#open.get(outcome.request);
    // Gone when a later part of the same request was refused because the id table is full.
    if (open === undefined) return;
    open.accepted += outcome.accepted;
    open.duplicates += outcome.duplicates;
    open.rejected += outcome.rejected;
    if (outcome.errors.length > 0) open.errors = listedErrors([...open.errors, ...outcome.errors]);
    if (!outcome.done) return;
    this.#close(outcome.request);
    const { accepted, duplicates, rejected, errors } = open;
    open.reply({ kind: "answer", accepted, duplicates, rejected, errors, position });
  }
}
