// Adapter: the key that requests must carry. Owns the file `key.sha256` in the data folder: the hex SHA-256 of a key that was made
// and printed once. The key itself is never stored.
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Address } from "../config.ts";

/** What requests must carry, and the key itself when it was made just now: to be printed once. */
export interface KeyChoice {
  readonly hash: Uint8Array | null;
  readonly made: string | null;
}

/** The key cannot be used; the message says what to do. */
export class KeyError extends Error {
  override readonly name = "KeyError";
}

/** `MILLRACE_KEY` without the blanks and line end that a file leaves around it, as in the header; null when not given or empty. */
function givenKey(given: string | undefined): string | null {
  return given === undefined || given.trim() === "" ? null : given.trim();
}

/** Throws KeyError when `MILLRACE_KEY` is given and is no key that a header can carry. Touches no file. */
export function checkGivenKey(given: string | undefined): void {
  const key = givenKey(given);
  if (key === null) return;
  const advice = "for example `openssl rand -hex 24`";
  if (key.length < 16)
    throw new KeyError(`MILLRACE_KEY has fewer than 16 characters; use a longer one, ${advice}`);
  if (!/^[ -~]+$/.test(key))
    throw new KeyError(
      `MILLRACE_KEY has characters that no header carries; use printable ASCII, ${advice}`,
    );
}

/** SHA-256 of a key. */
export function keyHash(key: string): Uint8Array {
  return createHash("sha256").update(key).digest();
}

/** Whether an Authorization header carries the key with this hash. Compares hashes in constant time. */
export function carriesKey(authorization: string | null, hash: Uint8Array): boolean {
  if (authorization === null || !/^bearer /i.test(authorization)) return false;
  return timingSafeEqual(keyHash(authorization.slice(7).trim()), hash);
}

/** Addresses that only this machine reaches. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/**
 * Decides the key at the start: `MILLRACE_KEY` if given; on loopback none; else the one whose hash is in the data folder, made now
 * if there is none. Throws KeyError when the file is not ours, or as checkGivenKey.
 */
export function chooseKey(
  address: Address,
  dataFolder: string,
  given: string | undefined,
): KeyChoice {
  checkGivenKey(given);
  const key = givenKey(given);
  if (key !== null) return { hash: keyHash(key), made: null };
  if (isLoopback(address.host)) return { hash: null, made: null };
  const path = join(dataFolder, "key.sha256");
  if (existsSync(path)) {
    const text = readFileSync(path, "utf8").trim();
    if (!/^[0-9a-f]{64}$/.test(text))
      throw new KeyError(
        `${path} does not hold the hash of a key; remove it to have a new key made, or set MILLRACE_KEY`,
      );
    return { hash: Buffer.from(text, "hex"), made: null };
  }
  const made = randomBytes(24).toString("base64url");
  const hash = keyHash(made);
  mkdirSync(dataFolder, { recursive: true });
  writeFileSync(path, `${Buffer.from(hash).toString("hex")}\n`, { mode: 0o600, flag: "wx" });
  chmodSync(path, 0o600);
  return { hash, made };
}
