// What main and the ship thread say to each other (see messages.ts).
import type { ShipRunOrder, ShipStatus } from "../ship/run.ts";
import type { StoreTarget } from "../ship/s3-store.ts";
import type { Credentials } from "../ship/signature.ts";

/** What the ship thread starts with. */
export interface ShipOrder extends ShipRunOrder {
  readonly target: StoreTarget;
  readonly credentials: Credentials;
}

export type ToShip =
  | { readonly kind: "order"; readonly order: ShipOrder; readonly failpoint: string | null }
  | { readonly kind: "frozen" }
  /** The process is about to stop: shipments are given up, the log goes on. */
  | { readonly kind: "no more" }
  /** The log has ended. */
  | { readonly kind: "finish" };

export type FromShip =
  | { readonly kind: "freeze" }
  | { readonly kind: "thaw" }
  | { readonly kind: "let go" }
  | { readonly kind: "status"; readonly status: ShipStatus }
  | { readonly kind: "notice"; readonly text: string }
  | { readonly kind: "finished" }
  /** A broken invariant. */
  | { readonly kind: "failed"; readonly message: string };
