// The wire of what takes long: lines of progress as JSON, then one with the report or the problem; without that last line it did not end.
import type { Refusal } from "./deps.ts";
import { toWire } from "./wire-names.ts";

/** ms without progress after which it is told again: a quarter of the time after which a silent connection is closed (server.ts). */
const ALIVE_MS = 30_000;

/** A run under way: never rejects. */
export interface Running<Report extends object> {
  readonly outcome: Promise<Report | Refusal>;
}

/** The answer, as the run goes. What refuses at once is a problem of its own. */
export async function progressResponse<Progress extends object, Report extends object>(
  start: (tell: (progress: Progress) => void) => Running<Report>,
  first: Progress,
  aliveMs: number = ALIVE_MS,
): Promise<Response | Refusal> {
  const lines = new TransformStream<Uint8Array, Uint8Array>();
  const writer = lines.writable.getWriter();
  const encoder = new TextEncoder();
  // A client that hung up reads no more lines; the run goes on.
  const write = (value: object): void =>
    void writer.write(encoder.encode(`${JSON.stringify(toWire(value))}\n`)).catch(() => undefined);
  const started = Promise.withResolvers<null>();
  let last = first;
  const tell = (progress: Progress): void => {
    last = progress;
    write({ progress });
    started.resolve(null);
  };
  const { outcome } = start(tell);
  const alive = setInterval(() => tell(last), aliveMs);
  void outcome.finally(() => clearInterval(alive));
  const begun = await Promise.race([started.promise, outcome]);
  if (begun !== null && isRefusal(begun)) return begun;
  const end = async (): Promise<void> => {
    const result = await outcome;
    if (isRefusal(result)) write({ problem: { code: result.code, detail: result.detail } });
    else write({ report: result });
    await writer.close().catch(() => undefined);
  };
  void end();
  return new Response(lines.readable, { headers: { "content-type": "application/x-ndjson" } });
}

function isRefusal(result: object | Refusal): result is Refusal {
  return "kind" in result && result.kind === "refusal";
}
