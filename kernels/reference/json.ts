// A plain reader of JSON text that keeps what JSON.parse forgets: members that occur twice, their order, the text of numbers. The
// twin of the decode kernel's grammar checker; used by reference/decode.ts only.

/** Grammar breaks: nothing after this place can be understood. */
export class Broken extends Error {}

export interface Member {
  readonly name: string;
  /** The member verbatim, from the quote of its name to the end of its value. */
  readonly verbatim: string;
  readonly value: Node;
}

export interface Node {
  readonly kind: "object" | "array" | "string" | "literal" | "number";
  /** Verbatim bytes. */
  readonly text: string;
  readonly string: string;
  readonly members: readonly Member[];
}

const DEPTH_MAX = 64;

/** A recursive-descent reader of one JSON text, byte by byte. */
export class Reader {
  readonly bytes: Uint8Array;
  readonly blanks: string;
  at = 0;
  /** First fault that leaves the grammar intact. */
  soft: string | null = null;

  constructor(bytes: Uint8Array, blanks: string) {
    this.bytes = bytes;
    this.blanks = blanks;
  }
  char(): string {
    const byte = this.bytes[this.at];
    return byte === undefined ? "" : String.fromCharCode(byte);
  }
  text(from: number, to = this.at): string {
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(this.bytes.slice(from, to));
  }
  space(): void {
    while (this.char() !== "" && this.blanks.includes(this.char())) this.at++;
  }
  expect(char: string): void {
    if (this.char() !== char) throw new Broken();
    this.at++;
  }
  value(depth: number): Node {
    this.space();
    const from = this.at;
    const plain = { string: "", members: [] };
    if (this.char() === '"') {
      const string = this.string();
      return { ...plain, kind: "string", text: this.text(from), string };
    }
    if (this.char() === "{" || this.char() === "[") {
      if (depth >= DEPTH_MAX) this.soft ??= "too_deep";
      const kind = this.char() === "{" ? "object" : "array";
      const members = this.inside(kind, depth + 1);
      return { ...plain, kind, text: this.text(from), members };
    }
    const rest = Buffer.from(this.bytes.slice(this.at)).toString("latin1");
    const literal = /^(true|false|null)/.exec(rest);
    const number = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?(?![-+.\deE])/.exec(rest);
    const match = literal ?? number;
    if (match === null) throw new Broken();
    this.at += match[0].length;
    return { ...plain, kind: literal ? "literal" : "number", text: match[0] };
  }
  inside(kind: "object" | "array", depth: number): Member[] {
    const close = kind === "object" ? "}" : "]";
    const members: Member[] = [];
    this.at++;
    this.space();
    if (this.char() === close) {
      this.at++;
      return members;
    }
    while (true) {
      this.space();
      const from = this.at;
      if (kind === "object") {
        const name = this.string();
        this.space();
        this.expect(":");
        const value = this.value(depth);
        members.push({ name, value, verbatim: this.text(from) });
      } else this.value(depth);
      this.space();
      if (this.char() === close) break;
      this.expect(",");
    }
    this.at++;
    return members;
  }
  string(): string {
    const from = this.at;
    this.expect('"');
    while (this.char() !== '"') {
      if (this.char() === "" || this.char() < " ") throw new Broken();
      this.at += this.char() === "\\" ? 2 : 1;
      if (this.at > this.bytes.length) throw new Broken();
    }
    this.at++;
    const slice = this.bytes.slice(from, this.at);
    let string: string;
    try {
      string = JSON.parse(this.text(from)) as string;
    } catch {
      throw new Broken();
    }
    try {
      new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(slice);
      if (!string.isWellFormed()) this.soft ??= "bad_utf8";
    } catch {
      this.soft ??= "bad_utf8";
    }
    return string;
  }
}
