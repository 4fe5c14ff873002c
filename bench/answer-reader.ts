// Reads answers of POST /v1/events out of the bytes of a connection: status, counts and position by fixed search, without a string or an
// object an answer, because the client shares the server's cores. Every byte of an accepting answer is checked. Requests are not pipelined.

const ENCODER = new TextEncoder();
const HEAD_END = ENCODER.encode("\r\n\r\n");
const LENGTH_NAME = ENCODER.encode("content-length: ");
/** How the header's name ends, in either spelling. */
const LENGTH_NAME_END = ENCODER.encode("ength: ");
const ACCEPTED = ENCODER.encode('{"accepted":');
const DUPLICATES = ENCODER.encode(',"duplicates":');
const REJECTED = ENCODER.encode(',"rejected":');
const POSITION = ENCODER.encode(',"errors":[],"position":');
const ANSWER_END = ENCODER.encode("}\n");
/** "HTTP/1.1 " */
const STATUS_AT = 9;
const ZERO = 48;

/** The last answer that a connection got: read it before the next. */
export class AnswerReader {
  status = 0;
  accepted = 0;
  duplicates = 0;
  rejected = 0;
  position = 0;
  /** The body of an answer that did not take all events; else "". Its counts are 0 here. */
  text = "";
  /** Bytes of an answer that is not complete. */
  #held: Uint8Array | null = null;
  /** Where the body and its length's digits lay in the last answer: heads are all of one form. */
  #bodyAt = 0;
  #lengthAt = 0;
  /** Where reading stands. */
  #at = 0;

  /** Takes bytes that came in; true when they complete an answer. Throws when they are no HTTP answer with a length. */
  take(chunk: Uint8Array): boolean {
    const bytes = this.#held === null ? chunk : joined(this.#held, chunk);
    if (!this.#findBody(bytes)) return this.#hold(bytes);
    this.#at = this.#lengthAt;
    const end = this.#bodyAt + this.#number(bytes);
    if (bytes.length < end) return this.#hold(bytes);
    if (bytes.length > end) throw new Error("more than one answer to one request");
    this.#held = null;
    this.#at = STATUS_AT;
    this.status = this.#number(bytes);
    this.#at = this.#bodyAt;
    this.text = "";
    if (this.status !== 200 || !this.#counts(bytes, end)) this.#keepText(bytes);
    return true;
  }

  #hold(bytes: Uint8Array): boolean {
    // the bytes are the socket's own until the next event
    this.#held = bytes.slice();
    return false;
  }

  #keepText(bytes: Uint8Array): void {
    this.text = new TextDecoder().decode(bytes.subarray(this.#bodyAt));
    this.accepted = this.duplicates = this.rejected = 0;
  }

  /** Whether the head is complete: it is looked for where the last one ended, then anywhere. */
  #findBody(bytes: Uint8Array): boolean {
    if (this.#bodyAt > 0 && isAt(bytes, this.#bodyAt - HEAD_END.length, HEAD_END)) {
      if (isAt(bytes, this.#lengthAt - LENGTH_NAME_END.length, LENGTH_NAME_END)) return true;
    }
    const end = indexOf(bytes, HEAD_END);
    if (end < 0) return false;
    const length = indexOf(bytes.map(lowerCase), LENGTH_NAME);
    if (length < 0 || length > end) throw new Error("an answer without a length");
    this.#bodyAt = end + HEAD_END.length;
    this.#lengthAt = length + LENGTH_NAME.length;
    return true;
  }

  /** Reads `{"accepted":1,"duplicates":0,"rejected":0,"errors":[],"position":7}`; false for anything else. */
  #counts(bytes: Uint8Array, end: number): boolean {
    if (!this.#skip(bytes, ACCEPTED)) return false;
    this.accepted = this.#number(bytes);
    if (!this.#skip(bytes, DUPLICATES)) return false;
    this.duplicates = this.#number(bytes);
    if (!this.#skip(bytes, REJECTED)) return false;
    this.rejected = this.#number(bytes);
    if (!this.#skip(bytes, POSITION)) return false;
    this.position = this.#number(bytes);
    return this.#skip(bytes, ANSWER_END) && this.#at === end;
  }

  #skip(bytes: Uint8Array, literal: Uint8Array): boolean {
    if (!isAt(bytes, this.#at, literal)) return false;
    this.#at += literal.length;
    return true;
  }

  #number(bytes: Uint8Array): number {
    let value = 0;
    let at = this.#at;
    for (; ; at++) {
      const digit = (bytes[at] ?? 0) - ZERO;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    this.#at = at;
    return value;
  }
}

function isAt(bytes: Uint8Array, at: number, literal: Uint8Array): boolean {
  for (let i = 0; i < literal.length; i++) if (bytes[at + i] !== literal[i]) return false;
  return true;
}

function indexOf(bytes: Uint8Array, literal: Uint8Array): number {
  for (let at = 0; at + literal.length <= bytes.length; at++)
    if (isAt(bytes, at, literal)) return at;
  return -1;
}

function lowerCase(byte: number): number {
  return byte >= 65 && byte <= 90 ? byte + 32 : byte;
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}
