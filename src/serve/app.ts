// The routes other than ingest, as a Hono app. Owns paths, methods and authorization; what a route means is in its own file.
import { Hono } from "hono";
import type { Context } from "hono";
import type { Refusal, ServeDeps } from "./deps.ts";
import { indexText } from "./index-page.ts";
import { carriesKey } from "./key.ts";
import { problemResponse, refuse } from "./problem.ts";
import type { RequestIds } from "./problem.ts";
import { readReconcile, reconcileResponse } from "./reconcile.ts";
import { savepointResponse } from "./savepoint.ts";
import { answerResponse, readQuestion } from "./sql.ts";

/** Paths that need no key: probes. */
const OPEN_PATHS: ReadonlySet<string> = new Set(["/health", "/ready"]);

/** Paths of later releases, told apart from mistakes. */
const LATER_PATHS =
  /^\/(v1\/(batch|track|identify|page|metrics|alert-rules|dead-letters)|subjects|schemas|compatibility|iceberg|openapi\.json)(\/|$)/;

type Handler = (request: Request, asker: Asker) => Response | Promise<Response>;

/** GET (with HEAD) and POST handlers of a path; every other method is 405. */
interface Route {
  readonly path: string;
  readonly get?: Handler;
  readonly post?: Handler;
}

/** Who asks: the address, or "" when the connection has gone. Beside the request to `fetch`. */
export interface Asker {
  readonly client: string;
}

/** The app's type, which says what `fetch` takes. */
export type App = Hono<{ Bindings: Asker }>;

function jsonResponse(body: object, status: number): Response {
  return new Response(`${JSON.stringify(body)}\n`, {
    status,
    headers: { "content-type": "application/json" },
  });
}

class Routes {
  readonly #deps: ServeDeps;
  readonly #ids: RequestIds;

  constructor(deps: ServeDeps, ids: RequestIds) {
    this.#deps = deps;
    this.#ids = ids;
  }

  problem(request: Request, refusal: Refusal, headers?: Record<string, string>): Response {
    return problemResponse(refusal, this.#ids.of(request), headers);
  }

  readonly sql = async (request: Request, { client }: Asker): Promise<Response> => {
    const question = await readQuestion(request, client);
    if ("kind" in question) return this.problem(request, question);
    const answer = await this.#deps.questions.ask(question);
    if (answer.kind === "refusal") return this.problem(request, answer);
    return answerResponse(answer, question.format);
  };

  readonly reconcile = async (request: Request): Promise<Response> => {
    const wanted = await readReconcile(request);
    if ("kind" in wanted) return this.problem(request, wanted);
    const answer = await reconcileResponse(this.#deps.reconcile, wanted);
    return "kind" in answer ? this.problem(request, answer) : answer;
  };

  readonly savepoint = async (request: Request): Promise<Response> => {
    const answer = await savepointResponse(this.#deps.savepoints, request);
    return "kind" in answer ? this.problem(request, answer) : answer;
  };

  readonly health = (): Response => {
    const { healthy, problems, position } = this.#deps.status();
    const body = { status: healthy ? "healthy" : "unhealthy", problems, position };
    return jsonResponse(body, healthy ? 200 : 503);
  };

  readonly ready = (): Response => {
    const { ready, problems, position } = this.#deps.status();
    return jsonResponse(
      { status: ready ? "ready" : "not ready", problems, position },
      ready ? 200 : 503,
    );
  };

  readonly metrics = (): Response =>
    new Response(this.#deps.metrics.text(), {
      headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" },
    });

  readonly index = (request: Request): Response =>
    new Response(indexText(this.#deps, new URL(request.url).origin), {
      headers: { "content-type": "text/plain; charset=utf-8" },
    });

  all(): readonly Route[] {
    return [
      { path: "/v1/sql", get: this.sql, post: this.sql },
      { path: "/v1/reconcile", post: this.reconcile },
      { path: "/v1/savepoint", post: this.savepoint },
      { path: "/health", get: this.health },
      { path: "/ready", get: this.ready },
      { path: "/metrics", get: this.metrics },
      { path: "/", get: this.index },
    ];
  }

  authorized(request: Request, path: string): boolean {
    const { keyHash } = this.#deps;
    return (
      keyHash === null ||
      OPEN_PATHS.has(path) ||
      carriesKey(request.headers.get("authorization"), keyHash)
    );
  }

  notFound(request: Request, path: string): Response {
    if (LATER_PATHS.test(path))
      return this.problem(
        request,
        refuse(404, "not_in_this_release", `${path} is not in this release`),
      );
    const detail =
      "served are /v1/events, /v1/sql, /v1/reconcile, /v1/savepoint, /health, /ready, /metrics and /";
    return this.problem(request, refuse(404, "not_found", detail));
  }
}

function methodsOf(route: Route): string {
  return [route.get && "GET, HEAD", route.post && "POST"]
    .filter((name) => name !== undefined)
    .join(", ");
}

/** The app. Its `fetch` never rejects: what a handler throws is logged and answered 500. */
export function createApp(deps: ServeDeps, ids: RequestIds): App {
  const app: App = new Hono();
  const routes = new Routes(deps, ids);
  app.use(async (context, next) => {
    if (routes.authorized(context.req.raw, context.req.path)) return next();
    const detail = "send the header Authorization: Bearer KEY";
    const headers = { "www-authenticate": "Bearer" };
    return routes.problem(context.req.raw, refuse(401, "key_needed", detail), headers);
  });
  for (const route of routes.all()) {
    const { get, post } = route;
    if (get !== undefined) app.get(route.path, (context) => get(context.req.raw, context.env));
    if (post !== undefined) app.post(route.path, (context) => post(context.req.raw, context.env));
    const allow = methodsOf(route);
    app.all(route.path, (context: Context) => {
      const detail = `${context.req.method} is not served here; use ${allow}`;
      return routes.problem(context.req.raw, refuse(405, "method_not_allowed", detail), { allow });
    });
  }
  app.notFound((context) => routes.notFound(context.req.raw, context.req.path));
  app.onError((error, context) => {
    deps.logLine(
      `${context.req.method} ${context.req.path} failed: ${error.stack ?? error.message}`,
    );
    const detail = "this is a fault of Millrace; its log says more, by the request id";
    return routes.problem(context.req.raw, refuse(500, "internal", detail));
  });
  return app;
}
