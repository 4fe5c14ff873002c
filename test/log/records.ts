// Records for tests of the log: made from a position, so that what is read can be compared without keeping it.
import type { ControlRecord, EventsRecord, LogRecord } from "../../src/log/record.ts";

const START_US = 1_570_000_000_000_000;

/** An events record whose image has `imageBytes` bytes, half of which compress. */
export function eventsRecord(position: number, imageBytes = 400): EventsRecord {
  const image = new Uint8Array(imageBytes);
  let state = position * 2_654_435_761;
  for (let at = 0; at < imageBytes; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    image[at] = at % 2 === 0 ? state >>> 24 : 7;
  }
  return {
    kind: "events",
    position,
    stream: position % 3 === 0 ? "orders" : "clicks",
    partition: position % 2 === 0 ? "" : `partition-${position % 4}`,
    schemaId: 1,
    receivedAtUs: START_US + position * 1000,
    watermarkUs: position % 6 === 0 ? null : BigInt(position - 10) * 1_000_003n,
    rowCount: position % 1000,
    duplicateCount: position % 7,
    rejects:
      position % 5 === 0
        ? [
            {
              index: 3,
              reason: "bad_json",
              field: null,
              message: `no value after ":" in ${position}`,
              raw: new TextEncoder().encode(`{"a":${position}`),
            },
            {
              index: 9,
              reason: "missing_member",
              field: "größe",
              message: "",
              raw: new Uint8Array(0),
            },
          ]
        : [],
    image,
  };
}

export function controlRecord(position: number): ControlRecord {
  return {
    kind: "control",
    position,
    receivedAtUs: START_US + position * 1000,
    control: "configuration",
    stream: position % 2 === 0 ? null : "clicks",
    body: JSON.stringify({ position, text: "ü".repeat(position % 300) }),
  };
}

/** The record that tests put at `position`: every fourth is a control record. */
export function recordAt(position: number): LogRecord {
  return position % 4 === 0 ? controlRecord(position) : eventsRecord(position);
}
