// Signatures against the examples of Amazon's own page; credentials come from the environment alone.
import { describe, expect, test } from "bun:test";
import { readCredentials, signedHeaders, type Unsigned } from "../../src/ship/signature.ts";

/** https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html */
const EXAMPLE = {
  accessKeyId: "AKIAIOSFODNN7EXAMPLE",
  secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
  sessionToken: null,
};
const AT = { region: "us-east-1", atUs: Date.UTC(2013, 4, 24) * 1000 };
const BUCKET = "https://examplebucket.s3.amazonaws.com/";
const get = (query: string): Unsigned => ({
  method: "GET",
  url: new URL(BUCKET + query),
  body: new Uint8Array(0),
});

describe("a signature", () => {
  test.each([
    ["?lifecycle", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"],
    ["?max-keys=2&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"],
    ["?prefix=J&max-keys=2", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"],
  ])("of GET %s is Amazon's", (query, signature) => {
    const { authorization } = signedHeaders(get(query), EXAMPLE, AT);
    expect(authorization).toBe(
      `AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=${signature}`,
    );
  });

  test("of temporary credentials covers their token", () => {
    const headers = signedHeaders(get(""), { ...EXAMPLE, sessionToken: "token" }, AT);
    expect(headers["x-amz-security-token"]).toBe("token");
    expect(headers["authorization"]).toContain("x-amz-date;x-amz-security-token, Signature=");
  });
});

test("credentials are the environment's; without them it says what to set", () => {
  const env = { AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "b", AWS_SESSION_TOKEN: "" };
  expect(readCredentials(env)).toEqual({
    accessKeyId: "a",
    secretAccessKey: "b",
    sessionToken: null,
  });
  expect(readCredentials({ ...env, AWS_SESSION_TOKEN: "c" }).sessionToken).toBe("c");
  for (const missing of [{}, { AWS_ACCESS_KEY_ID: "a" }, { ...env, AWS_SECRET_ACCESS_KEY: "" }])
    expect(() => readCredentials(missing)).toThrow("set AWS_ACCESS_KEY_ID");
});
