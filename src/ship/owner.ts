// Nouns and pure decisions: whose a prefix is. `owner.json` names the job, the folder that ships there, and its *terms*: each start of a process begins one,
// from a log position on. Keys carry their term, so that what a process writes after another has taken over is told apart and never restored.
import { must } from "../base/assert.ts";
import { decodeNote, encodeNote } from "./note.ts";

export const OWNER_KEY = "owner.json";

/** From one start of a process to the next. */
export interface Term {
  /** `000001-9f86d081`: counted, and random so that two that begin at once are told apart. */
  readonly id: string;
  /** Records from this log position on are this term's, until a later term says otherwise. */
  readonly from: number;
  /** ISO 8601. */
  readonly beganAt: string;
}

export interface Owner {
  readonly jobId: string;
  /** The data folder that ships: a random id of it, in its ship.json. */
  readonly folder: string;
  /** In order; the last is that of the process that ships. Those that nothing refers to any more are left out. */
  readonly terms: readonly Term[];
}

export const encodeOwner = (owner: Owner): Uint8Array => encodeNote("owner", owner);
export const decodeOwner = (bytes: Uint8Array, name: string): Owner =>
  decodeNote("owner", bytes, name) as Owner;

export function currentTerm({ terms }: Owner): Term {
  return must(terms.at(-1), "an owner's term");
}

/** The end, exclusive, of what a term may say about the log; null: it is no term of this owner. */
export function endOf(term: string, terms: readonly Term[]): number | null {
  const at = terms.findIndex(({ id }) => id === term);
  if (at === -1) return null;
  return Math.min(...terms.slice(at + 1).map(({ from }) => from), Infinity);
}

/** What a data folder knows of itself: its ship.json. */
export interface FolderNote {
  /** Its id; null: it was restored, and has not shipped yet. */
  readonly folder: string | null;
  /** What the prefix had when the folder was restored from it; null: it was not. */
  readonly restored: Restored | null;
  /** Terms that this folder began, or may have begun, at the prefix that it shipped to last. Absent: an earlier release wrote the note. */
  readonly claimed?: { readonly to: string; readonly terms: readonly string[] };
}

interface Restored {
  readonly to: string;
  readonly term: string;
  /** The last position that the prefix had. */
  readonly last: number;
  /** The last position that was restored: before `last` when the log in the store had a gap or damage. Absent: an earlier release restored it. */
  readonly end?: number;
}

export const encodeFolderNote = (note: FolderNote): Uint8Array => encodeNote("folder", note);
export const decodeFolderNote = (bytes: Uint8Array, name: string): FolderNote =>
  decodeNote("folder", bytes, name) as FolderNote;

/** What is known when a process begins to ship. */
export interface ClaimFacts {
  readonly address: string;
  readonly jobId: string;
  /** The last durable log position here. */
  readonly last: number;
  readonly note: FolderNote | null;
  /** Null: there is no owner.json. */
  readonly owner: Owner | null;
  /** Whether there is anything else below the prefix. */
  readonly isUsed: boolean;
  /** The last position that the prefix has, of any segment that counts; 0: none. */
  readonly stored: number;
}

/** `own`: the folder has shipped there before; `take over`: it was restored from there, up to log position `end`; `refuse`: two would write one prefix. */
export type Claim =
  | { readonly kind: "new" }
  | { readonly kind: "own" }
  | { readonly kind: "take over"; readonly end: number }
  | { readonly kind: "refuse"; readonly why: string };

/** May this folder ship to this prefix? Pure. */
export function decideClaim(facts: ClaimFacts): Claim {
  const { address, owner, note, stored, last } = facts;
  const elsewhere = "name another prefix in ship.to";
  const refuse = (why: string): Claim => ({ kind: "refuse", why: `${address} ${why}` });
  if (owner === null)
    return facts.isUsed
      ? refuse(`holds other objects and no ${OWNER_KEY}: ${elsewhere}`)
      : { kind: "new" };
  if (owner.jobId !== facts.jobId)
    return refuse(
      `is the prefix of another data folder (job ${owner.jobId}, not ${facts.jobId}): ${elsewhere}`,
    );
  const { id, beganAt } = currentTerm(owner);
  if (note !== null && note.folder === owner.folder) {
    if (stored > last)
      return refuse(
        `has the log up to position ${stored}, this data folder ends at ${last}: it is an older copy of the one that was shipped. Restore from the prefix, or ${elsewhere}`,
      );
    return note.claimed?.to !== address || note.claimed.terms.includes(id)
      ? { kind: "own" }
      : refuse(
          `was shipped to by a newer copy of this data folder (since ${beganAt}): this one is older. Restore from the prefix, or ${elsewhere}`,
        );
  }
  const restored = note?.restored?.to === address ? note.restored : null;
  if (restored === null)
    return refuse(
      `is shipped to by another copy of this data folder since ${beganAt}. If that one is to be the only one, stop this one; else ${elsewhere}`,
    );
  if (restored.term !== id || restored.last !== stored)
    return refuse(
      `was shipped to by another copy of this data folder (since ${beganAt}, up to log position ${stored}) after this one was restored from it as it was up to ${restored.last}. Stop that one and restore again, or stop this one; or ${elsewhere}`,
    );
  return { kind: "take over", end: restored.end ?? stored };
}

/** Terms that a folder's note has. */
export const TERMS_NOTED_MAX = 64;

/**
 * The terms of a folder's note while it claims a prefix: noted before the owner is written, so that what the store has of this folder is always
 * known to it. The store's current one, which this folder may go on from, stays however many claims fail. Pure.
 */
export function notedTerms(
  note: FolderNote | null,
  address: string,
  { owner, term }: { readonly owner: Owner | null; readonly term: string },
): string[] {
  const before = note?.claimed?.to === address ? note.claimed.terms : [];
  const known = owner === null ? [] : [currentTerm(owner).id];
  const others = [...before.filter((id) => !known.includes(id)), term];
  return [...known, ...others.slice(known.length - TERMS_NOTED_MAX)];
}

/** The terms and one more, without those before the first that a key names. `named`: ids of terms in keys. Pure. */
export function withTerm(
  terms: readonly Term[],
  term: Term,
  named: ReadonlySet<string>,
): readonly Term[] {
  const first = terms.findIndex(({ id }) => named.has(id));
  return [...(first === -1 ? [] : terms.slice(first)), term];
}

/** The id of the term after `owner`'s last. `random`: 8 hexadecimal digits. */
export function nextTermId(owner: Owner | null, random: string): string {
  const last = owner === null ? 0 : termNumber(currentTerm(owner).id);
  return `${String(last + 1).padStart(6, "0")}-${random}`;
}

export function termNumber(id: string): number {
  return Number(id.slice(0, id.indexOf("-")));
}
