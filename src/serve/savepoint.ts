// Verb: POST /v1/savepoint -> lines of progress as JSON, then one with the report or the problem. Owns the wire; what is copied is decided elsewhere.
import { SQL_BODY_BYTES_MAX } from "../limits.ts";
import type { SavepointProgress } from "../savepoint/savepoint.ts";
import { readBody } from "./body.ts";
import type { Refusal, Savepoints } from "./deps.ts";
import { refuse } from "./problem.ts";
import { progressResponse } from "./progress.ts";

/** Bytes between two lines of progress of one step. */
const PROGRESS_BYTES = 64 * 1024 * 1024;

/** Reads `{"to": "/backup/monday"}`. */
async function readFolder(request: Request): Promise<string | Refusal> {
  const body = await readBody(request, SQL_BODY_BYTES_MAX);
  if ("kind" in body) return body;
  try {
    const { to } = JSON.parse(new TextDecoder().decode(body)) as { readonly to?: unknown };
    if (typeof to === "string" && to !== "" && !to.includes("\0")) return to;
  } catch {
    // said below
  }
  return refuse(400, "bad_request", 'send {"to": FOLDER}, an absolute path on this machine');
}

/** Makes a savepoint and tells how far it is. */
export async function savepointResponse(
  savepoints: Savepoints,
  request: Request,
): Promise<Response | Refusal> {
  const to = await readFolder(request);
  if (typeof to !== "string") return to;
  const first: SavepointProgress = { step: "state", bytes: 0 };
  return progressResponse((tell) => savepoints.start(to, seldom(tell)), first);
}

/** Not every piece is worth a line. */
function seldom(tell: (progress: SavepointProgress) => void): typeof tell {
  let told: SavepointProgress | null = null;
  return (progress) => {
    if (told?.step === progress.step && progress.bytes - told.bytes < PROGRESS_BYTES) return;
    told = progress;
    tell(progress);
  };
}
