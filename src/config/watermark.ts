// Verb: the keys of a stream that decide how its watermark moves, together: what they mean where they are not written, and what does not fit.
import type { StreamConfig } from "../config.ts";
import type { Place } from "./fault.ts";

/** What the loader knows of keys. */
interface Keys {
  isWritten(key: string): boolean;
  placeOf(key: string): Place;
  fault(place: Place, key: string, problem: string, instead: string): void;
}

/** Why events of a stream say by themselves how far time is; null: they do not, and `out_of_orderness` does. */
function exactBecause(stream: Partial<StreamConfig>): string | null {
  if (stream.eventTime === "received_at") return "with event_time: received_at events are in order";
  if (typeof stream.watermarkPunctuated === "string")
    return "with watermark.punctuated the events that satisfy it say how far time is";
  return null;
}

/** The stream with the out-of-orderness that it has: none where time is exact and none is written. */
export function withWatermark(keys: Keys, stream: StreamConfig): StreamConfig {
  const isWritten = keys.isWritten(`streams.${stream.name}.out_of_orderness`);
  return isWritten || exactBecause(stream) === null ? stream : { ...stream, outOfOrdernessUs: 0 };
}

/** Faults between these keys. */
export function checkWatermark(keys: Keys, stream: StreamConfig): void {
  const { name, eventTime, outOfOrdernessUs } = stream;
  const fault = (key: string, problem: string, instead: string): void => {
    const dotted = `streams.${name}.${key}`;
    keys.fault(keys.placeOf(dotted), dotted, problem, instead);
  };
  const because = exactBecause(stream);
  if (because !== null && outOfOrdernessUs > 0) fault("out_of_orderness", because, "leave it out");
  if (eventTime !== "received_at") return;
  if (typeof stream.watermarkPunctuated === "string")
    fault(
      "watermark.punctuated",
      "with event_time: received_at every event moves the watermark to its receipt",
      "leave it out, or name a timestamp of the schema as event_time",
    );
  if (keys.isWritten(`streams.${name}.max_past`))
    fault("max_past", "with event_time: received_at no event is of the past", "leave it out");
}
