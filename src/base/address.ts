// Where bytes lie in this process's memory, for readers that are not JavaScript (DuckDB). The one importer of bun:ffi's pointers.
import { ptr } from "bun:ffi";

/**
 * Address of the first byte. Valid while the array's buffer is reachable: JavaScriptCore does not move buffers. The buffer is asked for
 * first, because a small array gets its final place only then.
 */
export function addressOf(bytes: Uint8Array): number {
  const buffer = bytes.buffer;
  return buffer.byteLength === 0 ? 0 : ptr(bytes);
}
