// Verb: `s3://bucket/prefix` -> its parts. Prefixes are of letters that mean the same in a URL, a signature and a listing.

/** A folder of an object store. */
export interface StoreAddress {
  readonly bucket: string;
  /** Without slashes at its ends; "" is the whole bucket. */
  readonly prefix: string;
}

const ADDRESS = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/((?:[\w=.-]+\/)*[\w=.-]+))?\/?$/;

/** Null: it is none. */
export function parseStoreAddress(text: string): StoreAddress | null {
  const [, bucket, prefix = ""] = ADDRESS.exec(text) ?? [];
  if (bucket === undefined || prefix.split("/").some((part) => part === "." || part === ".."))
    return null;
  return { bucket, prefix };
}

/** What to write where it is none. */
export const STORE_ADDRESS_ADVICE =
  "write s3://BUCKET/PREFIX; a prefix has letters, digits and . _ = - between slashes";

export function storeAddressText({ bucket, prefix }: StoreAddress): string {
  return prefix === "" ? `s3://${bucket}` : `s3://${bucket}/${prefix}`;
}
