// Verb: keys and flags -> where the store is.
import { parseStoreAddress, STORE_ADDRESS_ADVICE } from "../base/s3-address.ts";
import { SETTING_KEYS, type Settings } from "../config.ts";
import { endpointProblem, isAddress, isRegion, PATH_STYLE_PROBLEM } from "../config/ship.ts";
import type { StoreTarget } from "./s3-store.ts";

/** Null: nothing is shipped. The configuration was checked. */
export function shipTarget({
  to,
  endpoint,
  region,
  pathStyle,
}: Settings["ship"]): StoreTarget | null {
  const address = to === null ? null : parseStoreAddress(to);
  return address === null ? null : { ...address, endpoint, region, pathStyle };
}

/** The target of a restore. `flags`: by dotted key, as on the command line. A string is what is wrong, for the operator. */
export function readShipTarget(
  from: string,
  flags: ReadonlyMap<string, string>,
): StoreTarget | string {
  const known = ["ship.endpoint", "ship.region", "ship.path_style"];
  const unknown = [...flags.keys()].find((name) => !known.includes(name));
  if (unknown !== undefined)
    return `--${unknown} is not for a restore: write ${known.map((name) => `--${name}`).join(", ")}`;
  const address = parseStoreAddress(from);
  if (address === null)
    return `${JSON.stringify(from)} is not a prefix of a bucket: ${STORE_ADDRESS_ADVICE}`;
  const endpoint = flags.get("ship.endpoint") ?? null;
  const problem = endpoint === null ? null : endpointProblem(endpoint);
  if (problem !== null) return `--ship.endpoint: ${problem}`;
  const region = flags.get("ship.region") ?? SETTING_KEYS["ship.region"].default;
  const pathStyle = flags.get("ship.path_style") ?? SETTING_KEYS["ship.path_style"].default;
  if (!["on", "off", "true", "false"].includes(pathStyle))
    return `--ship.path_style ${JSON.stringify(pathStyle)} is neither on nor off`;
  if (!isRegion(region)) return `--ship.region ${JSON.stringify(region)} is not a region`;
  const isPath = pathStyle === "on" || pathStyle === "true";
  if (!isPath && endpoint !== null && isAddress(endpoint))
    return `${PATH_STYLE_PROBLEM}: write --ship.path_style=on`;
  return { ...address, endpoint, region, pathStyle: isPath };
}

/** Null: none is named. A string is what is wrong. */
export function readShipmentNumber(text: string | undefined): number | string | null {
  if (text === undefined) return null;
  return /^[1-9]\d{0,7}$/.test(text)
    ? Number(text)
    : `--shipment ${JSON.stringify(text)} is not the number of a shipment`;
}
