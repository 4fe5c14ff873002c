// Verb: the keys of `ship`: what each must be, which the types of values do not say.
import { parseStoreAddress, STORE_ADDRESS_ADVICE } from "../base/s3-address.ts";
import type { Settings } from "../config.ts";
import type { Fault, Place } from "./fault.ts";

const KEEP_MAX = 1000;

/** What is wrong with them. `placeOf`: of a dotted key. */
export function checkShip(ship: Settings["ship"], placeOf: (key: string) => Place): Fault[] {
  const faults: Fault[] = [];
  const fault = (name: string, problem: string, instead: string): void => {
    const key = `ship.${name}`;
    faults.push({ place: placeOf(key), key, problem, instead });
  };
  if (ship.to !== null && parseStoreAddress(ship.to) === null)
    fault("to", `${JSON.stringify(ship.to)} is not a prefix of a bucket`, STORE_ADDRESS_ADVICE);
  const problem = ship.endpoint === null ? null : endpointProblem(ship.endpoint);
  if (problem !== null) fault("endpoint", problem, "write https://HOST or http://HOST:PORT");
  const { endpoint, pathStyle } = ship;
  if (
    ship.to !== null &&
    problem === null &&
    endpoint !== null &&
    !pathStyle &&
    isAddress(endpoint)
  )
    fault("path_style", PATH_STYLE_PROBLEM, "write on");
  if (!isRegion(ship.region))
    fault("region", `${JSON.stringify(ship.region)} is not a region`, "write one, us-east-1");
  if (ship.keep > KEEP_MAX)
    fault("keep", `${ship.keep} shipments are too many`, `write ${KEEP_MAX} or less`);
  if (ship.logIntervalUs > ship.intervalUs)
    fault("log_interval", "it is longer than ship.interval", "write a shorter one");
  return faults;
}

/** Whether it may be in the headers of a request. */
export function isRegion(text: string): boolean {
  return /^[a-z0-9-]+$/.test(text);
}

/** What is wrong where the bucket would be part of an address that has no names. */
export const PATH_STYLE_PROBLEM =
  "a bucket cannot be in the name of a host that is an address of numbers";

/** Whether the host of a URL is an address of numbers, which can have no bucket before it. */
export function isAddress(endpoint: string): boolean {
  return /^(\[|[\d.]+$)/.test(new URL(endpoint).hostname);
}

/** What is wrong with the URL of a store; null: nothing. */
export function endpointProblem(text: string): string | null {
  if (!URL.canParse(text)) return `${JSON.stringify(text)} is not a URL`;
  const { protocol, username, password, search, hash } = new URL(text);
  if (protocol !== "https:" && protocol !== "http:")
    return `${JSON.stringify(text)} is not a URL of http or https`;
  if (username !== "" || password !== "") return "credentials do not belong in a URL";
  return search === "" && hash === "" ? null : `${JSON.stringify(text)} is more than a place`;
}
