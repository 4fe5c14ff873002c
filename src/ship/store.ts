// Port: a folder of objects in a store elsewhere. Adapter: s3-store.ts. Objects are written whole and never changed, but for the owner's note.

/** What went wrong, for who decides whether to go on. */
export type StoreFault =
  /** Not reached, cut, too slow, or an answer of 500 and above: it passes. */
  | "away"
  /** Credentials or rights. */
  | "forbidden"
  /** There is no such bucket, or it is elsewhere. */
  | "nowhere"
  /** Any other answer that is none. */
  | "refused"
  /** The object came, or certainly is not there, and is not what was put. */
  | "damaged";

/** Operating error: the store did not do what it was asked for. The message says the object, the answer, and what to do. */
export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly fault: StoreFault;

  constructor(fault: StoreFault, message: string) {
    super(message);
    this.fault = fault;
  }
}

/** An object as a listing has it. */
export interface Listed {
  readonly key: string;
  readonly bytes: number;
}

/** Keys are relative to the folder. All methods reject with StoreError, and with the signal's reason once it is aborted. */
export interface ObjectStore {
  /** `s3://bucket/prefix`, for messages. */
  readonly address: string;
  /** Writes an object, over one of this name. */
  put(key: string, bytes: Uint8Array): Promise<void>;
  /**
   * Null: there is none. One of more than `bytesMax` bytes is not what was put there (fault `damaged`): no more of it is read. `atOnce`: objects of that size that
   * are asked for at the same time, 1 by default: slow lines have time for all.
   */
  get(key: string, bytesMax: number, atOnce?: number): Promise<Uint8Array | null>;
  /** All objects whose keys begin so, in the order of their keys. */
  list(prefix: string): Promise<Listed[]>;
  /** No error when it is not there. */
  remove(key: string): Promise<void>;
}
