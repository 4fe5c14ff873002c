// Verb: a request to /v1/sql -> a question. Owns how SQL, parameters, format and position arrive on the wire; not what they mean.
import { SQL_BODY_BYTES_MAX } from "../limits.ts";
import type { QuestionParam } from "../query/wire.ts";
import { readBody } from "./body.ts";
import type { AnswerFormat, Question, QuestionAnswer, Refusal } from "./deps.ts";
import { refuse } from "./problem.ts";

/** What a request asks, apart from who asks. */
type Asked = Omit<Question, "signal" | "client">;

const CONTENT_TYPES: Readonly<Record<AnswerFormat, string>> = {
  json: "application/json",
  ndjson: "application/x-ndjson",
  csv: "text/csv; charset=utf-8; header=present",
};

const FORMATS: Readonly<Record<string, AnswerFormat>> = {
  json: "json",
  ndjson: "ndjson",
  csv: "csv",
};
const ACCEPTED: Readonly<Record<string, AnswerFormat>> = {
  "application/json": "json",
  "application/x-ndjson": "ndjson",
  "application/ndjson": "ndjson",
  "application/jsonl": "ndjson",
  "text/csv": "csv",
  "application/*": "json",
  "*/*": "json",
};

function badMember(name: string, what: string): Refusal {
  return refuse(400, "bad_request", `"${name}" ${what}`);
}

/** The format: what the request says, else the first type of Accept that is served. */
function chooseFormat(given: unknown, accept: string | null): AnswerFormat | Refusal {
  if (given !== undefined && given !== null) {
    const format = typeof given === "string" ? FORMATS[given] : undefined;
    if (format !== undefined) return format;
    const later =
      given === "arrow" || given === "parquet" ? "is not in this release" : "is not known";
    return badMember("format", `${JSON.stringify(given)} ${later}; send json, ndjson or csv`);
  }
  for (const part of (accept ?? "").split(",")) {
    const format = ACCEPTED[part.split(";")[0]?.trim().toLowerCase() ?? ""];
    if (format !== undefined) return format;
  }
  return "json";
}

/** JSON.parse with the text of numbers (https://github.com/tc39/proposal-json-parse-with-source), which TypeScript does not know yet. */
const parseWithSource = JSON.parse as (
  text: string,
  reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
) => unknown;

/** A whole number beyond 2^53, which JSON.parse would round. */
class LargeInteger {
  readonly integer: string;
  constructor(digits: string) {
    this.integer = digits;
  }
}

/** A number that was written with a fraction or an exponent: 1.0 and 1e20 too. */
class Fraction {
  readonly double: number;
  constructor(double: number) {
    this.double = double;
  }
}

/** JSON text -> its value, with LargeInteger and Fraction. Throws SyntaxError. */
function parseExactly(text: string): unknown {
  return parseWithSource(text, (_key, value, { source = "" }) => {
    if (typeof value !== "number") return value;
    if (!/^-?\d+$/.test(source)) return new Fraction(value);
    return Number.isSafeInteger(value) ? value : new LargeInteger(source);
  });
}

function fits128Bits(digits: string): boolean {
  // 2^127 has 39 digits: no longer text is made a number of.
  return digits.length <= 40 && BigInt.asIntN(128, BigInt(digits)) === BigInt(digits);
}

function paramsOf(given: unknown): readonly QuestionParam[] | Refusal {
  const refused = badMember("params", "must be an array of strings, numbers, booleans and nulls");
  if (!Array.isArray(given)) return refused;
  const params: QuestionParam[] = [];
  for (const value of given as unknown[]) {
    if (value instanceof LargeInteger) {
      if (!fits128Bits(value.integer))
        return badMember("params", "has a whole number beyond 128 bits; send it as a string");
      params.push({ integer: value.integer });
    } else if (value instanceof Fraction) {
      if (!Number.isFinite(value.double))
        return badMember("params", "has a number beyond a double; send it as a string");
      params.push({ double: value.double });
    } else if (
      value === null ||
      typeof value === "string" ||
      typeof value === "number" ||
      typeof value === "boolean"
    )
      params.push(value);
    else return refused;
  }
  return params;
}

/** Checks the members of a question, from JSON or from the URL. */
function askedOf(given: Readonly<Record<string, unknown>>, accept: string | null): Asked | Refusal {
  const unknown = Object.keys(given).find(
    (name) => !["sql", "query", "params", "format", "after"].includes(name),
  );
  if (unknown !== undefined)
    return badMember(unknown, "is not known; send sql, params, format, after");
  const sql = given["sql"] ?? given["query"];
  if (typeof sql !== "string" || sql.trim() === "")
    return badMember("sql", "is missing; send a SELECT");
  const params = paramsOf(given["params"] ?? []);
  if ("kind" in params) return params;
  const after = given["after"] ?? null;
  if (after !== null && (typeof after !== "number" || !Number.isSafeInteger(after) || after < 0))
    return badMember(
      "after",
      "must be a log position: a whole number, as an acknowledgement gives it",
    );
  const format = chooseFormat(given["format"], accept);
  return typeof format === "string" ? { sql, params, format, after } : format;
}

function askedByUrl(request: Request): Asked | Refusal {
  const query = new URL(request.url).searchParams;
  const given: Record<string, unknown> = Object.fromEntries(query);
  const after = query.get("after");
  if (after !== null) given["after"] = /^\d+$/.test(after) ? Number(after) : Number.NaN;
  const params = query.get("params");
  if (params !== null) {
    try {
      given["params"] = parseExactly(params);
    } catch {
      return badMember("params", "must be a JSON array");
    }
  }
  return askedOf(given, request.headers.get("accept"));
}

function utf8Text(body: Uint8Array): string | Refusal {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(body);
  } catch {
    return refuse(400, "bad_utf8", "the body is not UTF-8");
  }
}

async function askedByBody(request: Request): Promise<Asked | Refusal> {
  const type = (request.headers.get("content-type") ?? "text/plain")
    .split(";")[0]
    ?.trim()
    .toLowerCase();
  // curl -d sends the form type, whatever the text: what begins with a brace is JSON, SQL never does.
  const plain = ["text/plain", "application/sql", "application/x-www-form-urlencoded", ""];
  if (type !== "application/json" && !plain.includes(type ?? ""))
    return refuse(
      415,
      "unknown_content_type",
      `Content-Type ${JSON.stringify(type)} is not understood; send application/json or text/plain`,
    );
  const body = await readBody(request, SQL_BODY_BYTES_MAX);
  if ("kind" in body) return body;
  const text = utf8Text(body);
  if (typeof text !== "string") return text;
  const accept = request.headers.get("accept");
  if (type !== "application/json" && !text.trimStart().startsWith("{")) {
    const url = askedByUrlOptions(request);
    return askedOf({ ...url, sql: text }, accept);
  }
  let json: unknown;
  try {
    json = parseExactly(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return refuse(400, "bad_json", `the body is not JSON: ${why}`);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json))
    return refuse(400, "bad_request", 'the body must be an object: {"sql": "SELECT ..."}');
  return askedOf(json as Record<string, unknown>, accept);
}

/** `POST /v1/sql?format=csv&after=7` with plain SQL text. */
function askedByUrlOptions(request: Request): Record<string, unknown> {
  const query = new URL(request.url).searchParams;
  const options: Record<string, unknown> = {};
  const format = query.get("format");
  const after = query.get("after");
  if (format !== null) options["format"] = format;
  if (after !== null) options["after"] = /^\d+$/.test(after) ? Number(after) : Number.NaN;
  return options;
}

/** Reads a question of `client` from GET or POST. */
export async function readQuestion(request: Request, client: string): Promise<Question | Refusal> {
  const asked = request.method === "POST" ? await askedByBody(request) : askedByUrl(request);
  return "kind" in asked ? asked : { ...asked, client, signal: request.signal };
}

/** The response for an answer; the position is a header too, for formats whose body cannot say it. */
export function answerResponse(answer: QuestionAnswer, format: AnswerFormat): Response {
  return new Response(answer.body as Uint8Array<ArrayBuffer>, {
    headers: {
      "content-type": CONTENT_TYPES[format],
      "millrace-position": String(answer.position),
      "millrace-row-count": String(answer.rowCount),
    },
  });
}
