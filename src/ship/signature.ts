// Verb: a request to S3 -> the headers that sign it, AWS Signature Version 4
// (https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html). Bun's S3Client signs too, but its requests cannot be given a time
// limit or be given up, so a store that hangs would hold memory for as long as it likes.
import { createHash, createHmac } from "node:crypto";

/** From the environment alone; never in a file or a line of output. */
export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string | null;
}

/** Operating error: the environment has no credentials. The message says what to set. */
export class CredentialsError extends Error {
  override readonly name = "CredentialsError";
}

/** The names are those of Amazon's tools. Throws CredentialsError. */
export function readCredentials(env: Readonly<Record<string, string | undefined>>): Credentials {
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = env;
  if (!accessKeyId || !secretAccessKey)
    throw new CredentialsError(
      "there are no credentials for the store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN where they have one, in the environment",
    );
  return { accessKeyId, secretAccessKey, sessionToken: env["AWS_SESSION_TOKEN"] || null };
}

export interface Unsigned {
  readonly method: "GET" | "PUT" | "DELETE";
  readonly url: URL;
  readonly body: Uint8Array;
}

/** The headers to send with it. `atUs`: the store refuses one that is minutes off its own clock. */
export function signedHeaders(
  { method, url, body }: Unsigned,
  credentials: Credentials,
  { region, atUs }: { readonly region: string; readonly atUs: number },
): Record<string, string> {
  const time = new Date(atUs / 1000).toISOString().replaceAll(/[-:]|\.\d+/g, "");
  const scope = `${time.slice(0, 8)}/${region}/s3/aws4_request`;
  const bodyHash = createHash("sha256").update(body).digest("hex");
  const { accessKeyId, secretAccessKey, sessionToken } = credentials;
  const headers: Record<string, string> = {
    "x-amz-content-sha256": bodyHash,
    "x-amz-date": time,
    ...(sessionToken === null ? {} : { "x-amz-security-token": sessionToken }),
  };
  const signed = Object.entries({ host: url.host, ...headers });
  const names = signed.map(([name]) => name).join(";");
  const query = [...url.searchParams]
    .map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
    .toSorted()
    .join("&");
  const canonical = [
    method,
    url.pathname,
    query,
    ...signed.map(([name, value]) => `${name}:${value}`),
    "",
    names,
    bodyHash,
  ].join("\n");
  const hash = createHash("sha256").update(canonical).digest("hex");
  const key = scope.split("/").reduce<string | Buffer>(hmac, `AWS4${secretAccessKey}`);
  const signature = hmac(key, ["AWS4-HMAC-SHA256", time, scope, hash].join("\n")).toString("hex");
  const authorization = `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`;
  return { ...headers, authorization };
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

/** As the signature wants it: all but letters, digits and - . _ ~ */
export function encoded(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
