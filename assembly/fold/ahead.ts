// Reading ahead: state is larger than the caches as a rule, and a load that misses takes as long as the work of a whole row. Kernels
// first find what many rows will read, then read it here, where nothing else waits: many misses go on at the same time.

let sink: u32 = 0;

/** Reads a word at `offset` from each of the `n` addresses, u32, at `list`. */
export function readAhead(list: u32, n: u32, offset: u32): void {
  let seen: u32 = 0;
  const end = list + (n << 2);
  for (let at = list; at < end; at += 4) seen ^= load<u32>(load<u32>(at) + offset);
  sink ^= seen;
}

/** Reads all lines of the `n` rows of `bytes` bytes whose addresses, u32, are at `list`; 0 = none. Rows begin anywhere in a line. */
export function readRowsAhead(list: u32, n: u32, bytes: u32): void {
  for (let offset: u32 = 0; offset < bytes - 4; offset += 64) readAhead(list, n, offset);
  readAhead(list, n, bytes - 4);
}
