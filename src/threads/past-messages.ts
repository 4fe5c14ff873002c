// What main, the engine and the thread that reads the raw table say to each other about views that go on after a suspension.
import type { PastPage, PastWish } from "../engine-laggards.ts";
import type { EventSchema } from "../event/schema.ts";
import type { ViewPlan } from "../view/plan.ts";

/** What a view that goes on wants of the raw table, null: nothing any more; and that the next page may come. */
export type PastMessage =
  | { readonly kind: "past"; readonly wish: PastWish | null }
  | { readonly kind: "more past" };

/** To the thread of one reading of the raw table: the order, then the answer to each question and page. */
export type ToPast =
  | {
      readonly kind: "order";
      readonly wish: PastWish;
      readonly plan: ViewPlan;
      readonly schema: EventSchema;
    }
  /** The answer to a question, as /v1/sql gives it. */
  | { readonly kind: "rows"; readonly body: Uint8Array }
  | { readonly kind: "refused"; readonly message: string }
  /** The next page may come. */
  | { readonly kind: "more" };

export type FromPast =
  | { readonly kind: "ask"; readonly sql: string; readonly after: number | null }
  | { readonly kind: "page"; readonly page: PastPage };
