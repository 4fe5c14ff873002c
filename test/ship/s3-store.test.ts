// Requests against a store that we did not write: what comes back, and what is said when it does not.
import { expect, setDefaultTimeout } from "bun:test";
import type { StoreError } from "../../src/ship/store.ts";
import { storeTest, useStore, type TestStore } from "./store-fixture.ts";

setDefaultTimeout(60_000);

let store: TestStore;
useStore((started) => (store = started));

storeTest("objects are there until they are removed; a listing has pages", async () => {
  const folder = store.open("objects/a=1");
  const other = store.open("objects/a=10");
  const keys = Array.from({ length: 20 }, (_, at) => `log/${String(at).padStart(2, "0")}-x`);
  for (const [at, key] of keys.entries()) await folder.put(key, new Uint8Array(at).fill(at));
  await other.put("log/77", new Uint8Array(3));
  expect(await folder.list("")).toEqual(keys.map((key, bytes) => ({ key, bytes })));
  expect(await folder.list("log/1")).toHaveLength(10);
  expect(await folder.get("log/05-x", 20)).toEqual(new Uint8Array(5).fill(5));
  expect(await folder.get("log/5", 20)).toBe(null);
  await folder.put("log/05-x", new Uint8Array(1));
  expect(await folder.get("log/05-x", 20)).toEqual(new Uint8Array(1));
  await folder.remove("log/05-x");
  await folder.remove("log/05-x");
  expect(await folder.get("log/05-x", 20)).toBe(null);
  expect(await store.open("objects/none").list("")).toEqual([]);
});

storeTest("what goes wrong is said by its name", async () => {
  const put = (open: ReturnType<TestStore["open"]>): Promise<unknown> =>
    open.put("a", new Uint8Array(1)).catch((error: Error) => error);
  const wrong = { ...store.credentials, secretAccessKey: "no" };
  const nobody = { ...store.credentials, accessKeyId: "no" };
  const [forbidden, nowhere] = ["forbidden", "nowhere"] as const;
  for (const [open, fault, text] of [
    [store.open("x", { credentials: wrong }), forbidden, "403 SignatureDoesNotMatch"],
    [store.open("x", { credentials: nobody }), forbidden, "403 InvalidAccessKeyId"],
    [store.open("x", { credentials: store.reader }), forbidden, "403 AccessDenied"],
    [store.open("x", { bucket: "no-such-one" }), nowhere, "There is no bucket no-such-one at http"],
  ] as const)
    expect(await put(open)).toMatchObject({ fault, message: expect.stringContaining(text) });
  const dead = await put(store.open("x", { endpoint: "http://127.0.0.1:1" }));
  expect(dead).toMatchObject({ fault: "away" });
});

storeTest("an answer of 500 is asked again; one that stays is told", async () => {
  const open = store.open("again");
  store.setWay({ kind: "answer", status: 503 });
  const put = open.put("a", new Uint8Array(1));
  setTimeout(() => store.setWay({ kind: "open" }), 100);
  await put;
  expect(await open.get("a", 1)).toEqual(new Uint8Array(1));
  store.setWay({ kind: "answer", status: 503 });
  const failed = await open.get("a", 1).catch((error: Error) => error);
  expect(failed).toMatchObject({ fault: "away" });
  expect(String(failed)).toContain("s3://events/again/a: the store answers 503");
  // a 404 that is none of S3 does not mean that there is no such object, nor that it was put
  store.setWay({ kind: "answer", status: 404 });
  for (const odd of [open.get("a", 1), open.put("a", new Uint8Array(2))])
    expect(await odd.catch((error: Error) => error)).toMatchObject({ fault: "away" });
  store.setWay({ kind: "open" });
});

storeTest(
  "a listing that breaks off is no listing: what it lacks would be taken for gone",
  async () => {
    const open = store.open("cut");
    const entry = "<Contents><Key>cut/a</Key><Size>1</Size></Contents>";
    const page = (content: string): string =>
      `<ListBucketResult>${entry}${content}</ListBucketResult>`;
    for (const [body, said] of [
      [page("").slice(0, -20), "away"],
      [page("<IsTruncated>true</IsTruncated>"), "away"],
      [
        page("<IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken>"),
        "away",
      ],
      ["<html>", "refused"],
      [page("<IsTruncated>false</IsTruncated>"), [{ key: "a", bytes: 1 }]],
    ] as const) {
      store.setWay({ kind: "answer", status: 200, body });
      const listed = await open.list("").catch((error: StoreError) => error.fault);
      expect([body, listed]).toEqual([body, said as unknown as string]);
    }
    store.setWay({ kind: "open" });
  },
);

storeTest("an answer that is longer than it can be is read no further", async () => {
  const open = store.open("long");
  await open.put("a", new Uint8Array(1000));
  expect(await open.get("a", 1000)).toHaveLength(1000);
  const cut = await open.get("a", 999).catch((error: StoreError) => error);
  expect(cut).toMatchObject({
    fault: "damaged",
    message:
      "s3://events/long/a is not what Millrace put there: it has more than the 999 bytes that it can have",
  });
  for (const status of [200, 403]) {
    store.setWay({ kind: "endless", status });
    const endless = await open.get("a", 50_000_000).catch((error: StoreError) => error.fault);
    expect([status, endless]).toEqual([status, status === 200 ? "damaged" : "forbidden"]);
  }
  store.setWay({ kind: "endless", status: 200 });
  const listed = await open.list("").catch((error: Error) => error);
  expect(String(listed)).toContain("the store's listing has more than 16777216 bytes a page");
  store.setWay({ kind: "open" });
});
