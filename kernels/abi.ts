// The contract between the host (TypeScript) and the kernels (AssemblyScript). This file is its only door: both sides import from here,
// and nothing that both sides know stands anywhere else. AssemblyScript compiles it too, so it holds integer constants only, and
// its imports have no file extension. All numbers are little-endian; addresses are byte offsets into the WASM memory of the instance
// at hand. Which functions a module has: kernels/<module>.ts, with units.
//
// ## Four modules, each with a memory of its own (assembly/<module>/exports.ts is its export list; host.ts instantiates them)
//   decode   bodies of producers in, batch images out. Holds untrusted bytes: a wild store here cannot reach state.
//   admit    ids and watermarks (admission state).
//   fold     open windows of all views; batch columns that views use are copied in.
//   export   Parquet pages (export thread).
// All memories are shared ones (SharedArrayBuffer): main writes bodies into `decode`, log reads images out of it.
//
// ## Parts
//   abi/image.ts    the batch image: the layout of columns that every module and the log share; all its structures start on a
//                   multiple of 8 bytes
//   abi/decode.ts   room, schema block, rows, templates, rejects, results of `parse` and `seal`
//   abi/admit.ts    verdicts, the stream block, pages of ids
//   abi/fold.ts     memory map, registers and instructions of expression programs, states of aggregates, windows, groups
//   abi/session.ts  blocks, timers and rows of sessions
//   abi/export.ts   the dictionary of a column chunk
// A name has one meaning in all of them: the parts are one namespace.

export * from "./abi/image";
export * from "./abi/decode";
export * from "./abi/admit";
export * from "./abi/fold";
export * from "./abi/session";
export * from "./abi/export";

// ## Addresses
// The first KERNEL_STATIC_BYTES of every memory belong to AssemblyScript's static data; the host allocates above.
export const KERNEL_STATIC_BYTES = 1048576;
/** Readable bytes that must follow any input that SIMD kernels scan: they load 32 bytes at a time and may look past the end. */
export const SCAN_PADDING_BYTES = 64;
