// Verb: runs the parts of a program that depend on dictionary entries only, over the entries of the batch at hand and a null.
import { REGISTER_BYTES } from "../../kernels/abi.ts";
import type { Batch } from "./batch.ts";
import type { FoldMemory } from "./memory.ts";
import { bindRegister, type Program } from "./program.ts";

/** Runs them before the program's rows, once per batch; which entries failed is told to the batch. */
export function runDictionaries(memory: FoldMemory, batch: Batch, program: Program): void {
  for (const section of program.dictionaries) {
    const count = batch.entryCount(section.domain) + 1;
    for (const { register, width } of section.registers)
      bindRegister(
        memory,
        program.registers + register * REGISTER_BYTES,
        memory.take(count * (width + 1)),
        count * width,
      );
    const errors = memory.take(count);
    memory.u8.fill(0, errors, errors + count);
    const failed = memory.call.runProgram(
      section.address,
      section.count,
      program.registers,
      errors,
      0,
      count,
    );
    batch.setErrors(section.domain, failed > 0 ? errors : 0);
  }
}
