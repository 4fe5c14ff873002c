// The reconcile thread: lives for one run, so that neither its folds nor its questions' rows stay with the process. Wiring: what is
// computed is src/reconcile's.
import { kernelModule } from "../../kernels/modules.ts";
import { must } from "../base/assert.ts";
import { reconcile } from "../reconcile/reconcile.ts";
import { ReconcileError, type ReconcilePorts } from "../reconcile/tally.ts";
import type { FromReconcile, ToReconcile } from "./messages.ts";

declare const self: Worker;

type Reply = Exclude<ToReconcile, { kind: "order" }>;

const tell = (message: FromReconcile): void => self.postMessage(message);
let pending: ReturnType<typeof Promise.withResolvers<Reply>> | null = null;

/** One request is open at a time. */
async function request(message: FromReconcile): Promise<Exclude<Reply, { kind: "refused" }>> {
  pending = Promise.withResolvers<Reply>();
  tell(message);
  const reply = await pending.promise;
  if (reply.kind === "refused") throw new ReconcileError(reply.message);
  return reply;
}

async function run({ order }: Extract<ToReconcile, { kind: "order" }>): Promise<void> {
  const ports: ReconcilePorts = {
    foldModule: await kernelModule("fold"),
    ask: async (sql, after) => {
      const reply = await request({ kind: "ask", sql, after });
      const body = must(reply.kind === "rows" ? reply.body : null, "rows");
      const { rows } = JSON.parse(new TextDecoder().decode(body)) as {
        rows: readonly (readonly unknown[])[];
      };
      return rows;
    },
    publish: async (control) => {
      const reply = await request({ kind: "publish", control });
      return must(reply.kind === "published" ? reply.position : null, "a position");
    },
    tell: (progress) => tell({ kind: "progress", progress }),
  };
  tell({ kind: "done", report: await reconcile(order, ports) });
}

self.onmessage = ({ data }: MessageEvent<ToReconcile>) => {
  if (data.kind !== "order") return pending?.resolve(data);
  run(data).catch((error: unknown) => {
    const isTheirs = error instanceof ReconcileError;
    const message = error instanceof Error && !isTheirs ? error.stack : null;
    tell({ kind: "failed", message: message ?? (error as Error).message, isTheirs });
  });
  return undefined;
};
