// Noun: an expression program while it is built, and its bytes in the fold memory. Knows registers and instructions, no SQL.
import {
  CHUNK_ROWS,
  INSTRUCTION_BYTES,
  INSTRUCTION_IMM_AT,
  REGISTER_BYTES,
  REGISTER_OWN_AT,
  REGISTER_OWN_VALID_AT,
  REGISTER_STEP_AT,
  REGISTER_VALID_AT,
  REGISTER_VALID_STEP_AT,
  REGISTER_VALUES_AT,
} from "../../kernels/abi.ts";
import { assert, must } from "../base/assert.ts";
import { KEY_SETS_AT, PROGRAMS_AT, VECTORS_AT, type FoldMemory } from "./memory.ts";

/** Rows of the batch as the domain of a register; other domains are ordinals of dictionary columns. */
export const ROWS = -1;

export interface Instruction {
  readonly op: number;
  readonly a?: number;
  readonly b?: number;
  readonly x?: number;
  readonly y?: number;
  readonly imm?: bigint;
}

interface Register {
  readonly domain: number;
  readonly width: number;
  /** For a constant: its bytes, empty = NULL. For text the value is a reference to `text`. */
  readonly constant: Uint8Array | null;
  readonly text?: Uint8Array;
}

/** Part of a program that runs over one domain. */
export interface Section {
  readonly domain: number;
  readonly address: number;
  readonly count: number;
  /** Its registers: those of dictionaries get room for the domain's size before each run. */
  readonly registers: readonly { readonly register: number; readonly width: number }[];
}

/** A program in the fold memory. Dictionaries' sections run once per batch, the one of rows for each chunk. */
export interface Program {
  readonly registers: number;
  readonly rows: Section;
  readonly dictionaries: readonly Section[];
}

/** Where a program lies: `take` gives room, or null when it is full; `vector` gives the room of its register number `index` of rows. */
export interface ProgramRoom {
  take(bytes: number): number | null;
  vector(index: number): number;
}

/** The program area: programs stay until it is cleared. */
export class ProgramArea implements ProgramRoom {
  #next = PROGRAMS_AT;

  take(bytes: number): number | null {
    const address = this.#next;
    const next = address + Math.ceil((bytes + 16) / 16) * 16;
    if (next > VECTORS_AT) return null;
    this.#next = next;
    return address;
  }
  /** One program runs at a time: all have the same vectors. */
  vector(index: number): number {
    assert(index < VECTORS_MAX, `a view needs more than ${VECTORS_MAX} registers`);
    return VECTORS_AT + index * VECTOR_BYTES;
  }
  clear(): void {
    this.#next = PROGRAMS_AT;
  }
}

/** Values and validity of a register over a chunk. */
export const VECTOR_BYTES = CHUNK_ROWS * 17;
const VECTORS_MAX = Math.floor((KEY_SETS_AT - VECTORS_AT) / VECTOR_BYTES);

/** Collects registers and instructions. */
export class ProgramBuilder {
  readonly #registers: Register[] = [];
  readonly #code = new Map<number, { readonly dst: number; readonly instruction: Instruction }[]>([
    [ROWS, []],
  ]);

  get registerCount(): number {
    return this.#registers.length;
  }

  /** Adds an instruction whose result is a new register of `width` bytes a value. */
  emit(domain: number, width: number, instruction: Instruction): number {
    const dst = this.register(domain, width);
    this.emitTo(dst, instruction);
    return dst;
  }

  /** Adds an instruction that writes a given register. */
  emitTo(dst: number, instruction: Instruction): void {
    const { domain } = must(this.#registers[dst], "register");
    const code = this.#code.get(domain) ?? [];
    this.#code.set(domain, code);
    code.push({ dst, instruction });
  }

  register(domain: number, width: number): number {
    return this.#registers.push({ domain, width, constant: null }) - 1;
  }

  /** A register with the same value for every row; null = NULL. */
  constant(bytes: Uint8Array | null): number {
    return (
      this.#registers.push({ domain: ROWS, width: 0, constant: bytes ?? new Uint8Array() }) - 1
    );
  }

  /** A text constant. */
  textConstant(text: Uint8Array): number {
    return this.#registers.push({ domain: ROWS, width: 0, constant: new Uint8Array(8), text }) - 1;
  }

  /** Writes the program into the memory; null when the program area is full. */
  finish(memory: FoldMemory, area: ProgramRoom): Program | null {
    const registers = area.take(this.#registers.length * REGISTER_BYTES);
    if (registers === null || !this.#writeRegisters(memory, area, registers)) return null;
    const sections: Section[] = [];
    for (const [domain, code] of this.#code) {
      const address = area.take(code.length * INSTRUCTION_BYTES);
      if (address === null) return null;
      code.forEach(({ dst, instruction }, index) =>
        writeInstruction(memory.data, address + index * INSTRUCTION_BYTES, dst, instruction),
      );
      const own = this.#registers
        .map(({ width }, register) => ({ register, width }))
        .filter(({ register }) => this.#isOf(register, domain));
      sections.push({ domain, address, count: code.length, registers: own });
    }
    const rows = must(
      sections.find((section) => section.domain === ROWS),
      "section of rows",
    );
    return {
      registers,
      rows,
      dictionaries: sections.filter((section) => section.domain !== ROWS),
    };
  }

  #isOf(register: number, domain: number): boolean {
    const { domain: own, constant } = must(this.#registers[register], "register");
    return own === domain && constant === null;
  }

  #writeRegisters(memory: FoldMemory, area: ProgramRoom, address: number): boolean {
    let vectors = 0;
    for (const [index, register] of this.#registers.entries()) {
      const at = address + index * REGISTER_BYTES;
      memory.u8.fill(0, at, at + REGISTER_BYTES);
      if (register.constant !== null) {
        if (!writeConstant(memory, area, at, register)) return false;
      } else if (register.domain === ROWS) {
        bindRegister(memory, at, area.vector(vectors), CHUNK_ROWS * 16);
        vectors++;
      }
    }
    return true;
  }
}

/** Gives a register its buffers: values at `address`, validity `valueBytes` behind. */
export function bindRegister(
  memory: FoldMemory,
  at: number,
  address: number,
  valueBytes: number,
): void {
  memory.data.setUint32(at + REGISTER_OWN_AT, address, true);
  memory.data.setUint32(at + REGISTER_OWN_VALID_AT, address + valueBytes, true);
}

function writeConstant(
  memory: FoldMemory,
  area: ProgramRoom,
  at: number,
  { constant, text = new Uint8Array() }: Register,
): boolean {
  const bytes = constant ?? new Uint8Array();
  const address = area.take(32 + text.byteLength);
  if (address === null) return false;
  const { data } = memory;
  memory.u8.fill(0, address, address + 32);
  memory.u8.set(bytes, address);
  memory.u8.set(text, address + 32);
  if (bytes.byteLength === 8 && text.byteLength > 0) {
    data.setUint32(address, address + 32, true);
    data.setUint32(address + 4, text.byteLength, true);
  }
  data.setUint32(at + REGISTER_VALUES_AT, address, true);
  data.setUint32(at + REGISTER_STEP_AT, 0, true);
  data.setUint32(at + REGISTER_VALID_STEP_AT, 0, true);
  // NULL: its validity byte is a zero behind the value.
  data.setUint32(at + REGISTER_VALID_AT, bytes.byteLength === 0 ? address + 24 : 0, true);
  return true;
}

function writeInstruction(data: DataView, at: number, dst: number, instruction: Instruction): void {
  const { op, a = 0, b = 0, x = 0, y = 0, imm = 0n } = instruction;
  [op, dst, a, b, x, y].forEach((word, index) => data.setUint32(at + index * 4, word, true));
  data.setBigInt64(at + INSTRUCTION_IMM_AT, imm, true);
}
