// Noun: the files that the executable carries: DuckDB's native parts, the examples. From source there are none: `npm run build` puts a
// generated module in this one's place (tools/build.ts).

/** `files`: relative name -> path that Bun reads inside the executable. `hash`: SHA-256 (hex) of all names and contents. */
export interface Embedded {
  readonly hash: string;
  readonly files: readonly {
    readonly name: string;
    readonly path: string;
    readonly bytes: number;
  }[];
}

/** What this program carries; null when it runs from source. */
export function embedded(): Embedded | null {
  return null;
}
