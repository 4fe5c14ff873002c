// Verb: the bundled clicks (REES46's CSV) -> events as JSON lines. Owns the conversion; playing them is play.ts.
import { gunzipSync } from "node:zlib";

const HEADER =
  "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session";

/** A member that may be empty in the CSV. */
function textOrNull(value: string): string {
  return value === "" ? "null" : JSON.stringify(value);
}

/** One event's JSON. `lineNumber` counts from 1, the header included. Throws when the line is not one of ours. */
export function clickJson(line: string, lineNumber: number): string {
  const [time = "", type = "", product = "", category = "", code = "", brand = "", ...rest] =
    line.split(",");
  const [price = "", user = "", session = ""] = rest;
  const instant = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) UTC$/.exec(time);
  if (instant === null || rest.length !== 3)
    throw new Error(`line ${lineNumber} of the clicks is damaged: ${JSON.stringify(line)}`);
  const page = `/${code.replaceAll(".", "/")}/${product}`;
  return (
    `{"event_id":${lineNumber},"event_time":"${instant[1]}T${instant[2]}Z","event_type":${JSON.stringify(type)},` +
    `"page_url":${JSON.stringify(page)},"product_id":${product},"category_id":${category},` +
    `"category_code":${textOrNull(code)},"brand":${textOrNull(brand)},"price":${price},"user_id":${user},` +
    `"user_session":${textOrNull(session)}}`
  );
}

/** All events of a gzipped CSV, in the file's order, one JSON text each. */
export function readClicks(gzip: Uint8Array): string[] {
  const lines = gunzipSync(gzip).toString("utf8").trimEnd().split("\n");
  if (lines[0] !== HEADER) throw new Error("this file does not hold the bundled clicks");
  return lines.slice(1).map((line, at) => clickJson(line, at + 2));
}
