import { expect, test } from "bun:test";
import { readPlainPost } from "../../src/serve/plain-post.ts";

function head(lines: readonly string[], requestLine = "POST /v1/events/clicks HTTP/1.1"): string {
  return [requestLine, "Host: localhost:8080", "Content-Length: 7", ...lines].join("\r\n");
}

test("a plain post is read, header names in any case, values without the blanks around them", () => {
  const read = readPlainPost(
    head([
      "content-TYPE: \tapplication/json ",
      "Authorization: Bearer k",
      "MILLRACE-source-partition:p1",
      "Idempotency-Key: k",
      "X-Request-Id: r",
      "Connection: Keep-Alive",
      "User-Agent: a b:c",
      "X-Empty:",
    ]),
  );
  expect(read).toEqual({
    path: "/clicks",
    host: "localhost:8080",
    length: 7,
    contentType: "application/json",
    authorization: "Bearer k",
    partition: "p1",
    idempotencyKey: "k",
    requestId: "r",
  });
  expect(readPlainPost(head([], "POST /v1/events HTTP/1.1"))).toMatchObject({
    path: "",
    contentType: null,
    authorization: null,
    partition: null,
    idempotencyKey: null,
    requestId: null,
  });
  expect(readPlainPost(head([], "POST /v1/events/ HTTP/1.1"))?.path).toBe("/");
});

test.each([
  ["another method", head([], "GET /v1/events/clicks HTTP/1.1")],
  ["a method in lower case", head([], "post /v1/events/clicks HTTP/1.1")],
  ["another path", head([], "POST /v1/sql HTTP/1.1")],
  ["a longer path", head([], "POST /v1/events/clicks/a HTTP/1.1")],
  ["a path that only begins so", head([], "POST /v1/eventsclicks HTTP/1.1")],
  ["a query", head([], "POST /v1/events/clicks?wait=none HTTP/1.1")],
  ["an escaped name", head([], "POST /v1/events/cl%69cks HTTP/1.1")],
  ["a whole URL", head([], "POST http://localhost/v1/events HTTP/1.1")],
  ["HTTP/1.0", head([], "POST /v1/events HTTP/1.0")],
  ["two blanks", head([], "POST  /v1/events HTTP/1.1")],
  ["no Host", "POST /v1/events HTTP/1.1\r\nContent-Length: 7"],
  ["two Hosts", head(["Host: other"])],
  ["a Host that is none", "POST /v1/events HTTP/1.1\r\nHost: a/b@c\r\nContent-Length: 7"],
  ["no length", "POST /v1/events HTTP/1.1\r\nHost: a"],
  ["two lengths", head(["Content-Length: 7"])],
  ["an empty body", "POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: 0"],
  ["a length with a sign", "POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: +7"],
  ["a list of lengths", "POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: 7, 7"],
  ["a length beyond a slot", "POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577"],
  ["chunks", head(["Transfer-Encoding: chunked"])],
  ["compression", head(["Content-Encoding: gzip"])],
  ["Expect", head(["Expect: 100-continue"])],
  ["Upgrade", head(["Upgrade: websocket"])],
  ["Connection: close", head(["Connection: close"])],
  ["a browser's Origin", head(["Origin: http://localhost"])],
  ["any header twice", head(["X-A: 1", "x-a: 2"])],
  ["a folded line", head(["X-A: 1", " 2"])],
  ["a blank before the colon", head(["X-A : 1"])],
  ["a line without a colon", head(["X-A"])],
  ["a name with other characters", head(["X(A): 1"])],
  ["a bare line feed", head(["X-A: 1\nContent-Length: 9"])],
  ["a bare carriage return", head(["X-A: 1\rContent-Length: 9"])],
  ["a NUL", head(["X-A: \0"])],
  ["other bytes than ASCII", head(["X-A: é"])],
  ["a long head", head([`X-A: ${"a".repeat(5000)}`])],
])("%s is not plain", (_, text) => {
  expect(readPlainPost(text)).toBeNull();
});
