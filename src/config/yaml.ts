// Adapter: YAML text -> a tree of maps and scalars with places. The only importer of `yaml`. Knows no keys.
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, Scalar } from "yaml";
import type { Document, ParsedNode } from "yaml";
import type { Fault, Place } from "./fault.ts";

/** A scalar's text and place. `within` maps a line and column (from 1) of the text to a place in the file. */
export interface ScalarNode {
  readonly kind: "scalar";
  readonly place: Place;
  readonly text: string;
  within(line: number, column: number): Place;
}
export interface MapNode {
  readonly kind: "map";
  readonly place: Place;
  readonly entries: readonly {
    readonly key: string;
    readonly keyPlace: Place;
    readonly node: Node;
  }[];
}
export interface ListNode {
  readonly kind: "list";
  readonly place: Place;
  readonly items: readonly Node[];
}
/** Nothing where a value should be. */
export interface NoNode {
  readonly kind: "nothing";
  readonly place: Place;
}
export type Node = ScalarNode | MapNode | ListNode | NoNode;

export interface YamlFile {
  readonly root: Node;
  readonly faults: readonly Fault[];
}

function isWithin(node: ParsedNode, alias: ParsedNode): boolean {
  const [from, , to] = node.range;
  return from <= alias.range[0] && alias.range[0] < to;
}

class Reader {
  readonly #lines = new LineCounter();
  readonly #text: string;
  readonly #source: string;
  readonly #aliasFaults: Fault[] = [];
  readonly document: Document.Parsed;

  constructor(text: string, source: string) {
    this.#text = text;
    this.#source = source;
    this.document = parseDocument(text, {
      lineCounter: this.#lines,
      prettyErrors: false,
      merge: false,
    });
  }

  place(offset: number): Place {
    const { line, col } = this.#lines.linePos(offset);
    return { source: this.#source, line, column: col };
  }

  /** After `node` went through the document. */
  faults(): Fault[] {
    return [...this.#syntaxFaults(), ...this.#aliasFaults];
  }

  #syntaxFaults(): Fault[] {
    return this.document.errors.map((error) => ({
      place: this.place(error.pos[0]),
      key: null,
      problem: `this is not valid YAML: ${error.message.replaceAll(/\s*\n\s*/g, " ")}`,
      instead: null,
    }));
  }

  node(parsed: ParsedNode | null, fallback: Place): Node {
    if (parsed === null) return { kind: "nothing", place: fallback };
    const place = this.place(parsed.range[0]);
    if (isAlias(parsed)) {
      const target = parsed.resolve(this.document) as ParsedNode | undefined;
      if (target === undefined) return { kind: "nothing", place };
      if (isWithin(target, parsed)) {
        this.#aliasFaults.push({
          place,
          key: null,
          problem: `*${parsed.source} stands within what it is to stand for`,
          instead: "write the value out",
        });
        return { kind: "nothing", place };
      }
      return this.node(target, place);
    }
    if (isMap(parsed)) {
      const entries = parsed.items.map((item) => {
        const keyPlace = item.key === null ? place : this.place(item.key.range[0]);
        const key = isScalar(item.key) ? String(item.key.value) : "";
        return { key, keyPlace, node: this.node(item.value, keyPlace) };
      });
      return { kind: "map", place, entries };
    }
    if (isSeq(parsed)) {
      const items = parsed.items.map((item) => this.node(item, place));
      return { kind: "list", place, items };
    }
    if (parsed.value === null) return { kind: "nothing", place };
    return this.#scalar(parsed, place);
  }

  #scalar(scalar: Scalar.Parsed, place: Place): ScalarNode {
    const text = typeof scalar.value === "string" ? scalar.value : (scalar.source ?? "");
    const blockLine = scalar.type === Scalar.BLOCK_LITERAL ? (place.line ?? 1) : null;
    const textLines = text.split("\n");
    const within = (line: number, column: number): Place => {
      if (blockLine === null) {
        // A quoted or plain text on one line keeps its columns; a folded one does not: its start must do.
        const straight = line === 1 && this.#text.startsWith(text, scalar.range[0]);
        return straight ? { ...place, column: (place.column ?? 1) + column - 1 } : place;
      }
      const start = this.#lines.lineStarts[blockLine + line - 1] ?? scalar.range[0];
      const indent = this.#text.slice(start).indexOf(textLines[line - 1] ?? "");
      return { source: place.source, line: blockLine + line, column: Math.max(indent, 0) + column };
    };
    return { kind: "scalar", place, text, within };
  }
}

/** Reads a configuration file. Places are right even when there are faults; `source` is the file's name as shown. */
export function readYaml(text: string, source: string): YamlFile {
  const reader = new Reader(text, source);
  const start = { source, line: 1, column: 1 };
  return { root: reader.node(reader.document.contents, start), faults: reader.faults() };
}
