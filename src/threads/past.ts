// The thread that reads the raw table for a view that goes on after a suspension: lives for one reading, so that its questions' rows do not stay with
// the process. Wiring: what is read is src/rehearsal/gap.ts.
import { must } from "../base/assert.ts";
import { GapError, readGap } from "../rehearsal/gap.ts";
import type { FromPast, ToPast } from "./past-messages.ts";

declare const self: Worker;

type Reply = Exclude<ToPast, { kind: "order" }>;

const tell = (message: FromPast): void => self.postMessage(message);
let pending: ReturnType<typeof Promise.withResolvers<Reply>> | null = null;

/** One request is open at a time. */
function request(message: FromPast): Promise<Reply> {
  pending = Promise.withResolvers<Reply>();
  tell(message);
  return pending.promise;
}

async function ask(sql: string, after?: number): Promise<readonly (readonly unknown[])[]> {
  const reply = await request({ kind: "ask", sql, after: after ?? null });
  if (reply.kind === "refused")
    throw new GapError(`what it passed could not be read: ${reply.message}; start again`);
  const body = must(reply.kind === "rows" ? reply.body : null, "rows");
  const { rows } = JSON.parse(new TextDecoder().decode(body)) as {
    rows: readonly (readonly unknown[])[];
  };
  return rows;
}

async function run({ wish, plan, schema }: Extract<ToPast, { kind: "order" }>): Promise<void> {
  const { id, gap } = wish;
  for await (const records of readGap(ask, { plan, schema }, gap))
    await request({ kind: "page", page: { id, kind: "page", records, isLast: false } });
  tell({ kind: "page", page: { id, kind: "page", records: [], isLast: true } });
}

self.onmessage = ({ data }: MessageEvent<ToPast>) => {
  if (data.kind !== "order") return pending?.resolve(data);
  run(data).catch((error: unknown) => {
    if (!(error instanceof GapError)) throw error;
    tell({ kind: "page", page: { id: data.wish.id, kind: "none", reason: error.message } });
  });
  return undefined;
};
