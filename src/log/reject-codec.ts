// Rejects <-> bytes: the second section of an events record's payload. Owns the numbers of the reject reasons on disk. It knows
// nothing of compression or checksums (codec.ts).
//
//   u32 count, then per reject:
//   u32 index   u8 reason   u8 1 when there is a field   u16 field bytes   u32 message bytes   u32 raw bytes
//   field (UTF-8), message (UTF-8), raw
import type { Reject, RejectReason } from "../event/reject.ts";

/** On-disk numbers of the reasons: append only, never renumber. */
const REASON_CODES: Readonly<Record<RejectReason, number>> = {
  bad_json: 1,
  bad_utf8: 2,
  not_an_object: 3,
  duplicate_member: 4,
  missing_member: 5,
  wrong_type: 6,
  out_of_range: 7,
  bad_time: 8,
  unknown_symbol: 9,
  too_deep: 10,
  too_large: 11,
  too_far_in_future: 12,
  too_far_in_past: 13,
  too_many_rejects: 14,
};
const REJECT_BYTES = 16;
const FIELD_BYTES_MAX = 0xffff;

/** What the section holds cannot be read; `what` says why. codec.ts turns it into a CorruptRecordError. */
export class RejectSectionError extends Error {
  override readonly name = "RejectSectionError";
}

/** The section of these rejects; empty when there are none. A field name beyond 65,535 bytes of UTF-8 is cut. */
export function encodeRejects(rejects: readonly Reject[]): Uint8Array {
  if (rejects.length === 0) return new Uint8Array(0);
  let lengthBytes = 4;
  for (const { field, message, raw } of rejects)
    lengthBytes +=
      REJECT_BYTES + Buffer.byteLength(field ?? "") + Buffer.byteLength(message) + raw.length;
  const bytes = Buffer.alloc(lengthBytes);
  bytes.writeUInt32LE(rejects.length, 0);
  let at = 4;
  for (const { index, reason, field, message, raw } of rejects) {
    const head = at;
    at += REJECT_BYTES;
    // texts are written in place: an array each would be the log thread's largest garbage when everything is refused
    const fieldBytes = Math.min(bytes.write(field ?? "", at), FIELD_BYTES_MAX);
    at += fieldBytes;
    const messageBytes = bytes.write(message, at);
    at += messageBytes;
    bytes.set(raw, at);
    at += raw.length;
    bytes.writeUInt32LE(index, head);
    bytes.writeUInt8(REASON_CODES[reason], head + 4);
    bytes.writeUInt8(field === null ? 0 : 1, head + 5);
    bytes.writeUInt16LE(fieldBytes, head + 6);
    bytes.writeUInt32LE(messageBytes, head + 8);
    bytes.writeUInt32LE(raw.length, head + 12);
  }
  return bytes.subarray(0, at);
}

/** The rejects of a section; their raw bytes are views into it. Throws RejectSectionError for bytes that `encodeRejects` does not make. */
export function decodeRejects(bytes: Uint8Array): Reject[] {
  if (bytes.length === 0) return [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = bytes.length < 4 ? 0 : view.getUint32(0, true);
  const rejects: Reject[] = [];
  let at = 4;
  for (let ordinal = 0; ordinal < count; ordinal++) {
    if (at + REJECT_BYTES > bytes.length) throw new RejectSectionError("the rejects are cut off");
    const fieldAt = at + REJECT_BYTES;
    const messageAt = fieldAt + view.getUint16(at + 6, true);
    const rawAt = messageAt + view.getUint32(at + 8, true);
    const end = rawAt + view.getUint32(at + 12, true);
    if (end > bytes.length) throw new RejectSectionError("the rejects are cut off");
    rejects.push({
      index: view.getUint32(at, true),
      reason: reasonOf(view.getUint8(at + 4)),
      field: view.getUint8(at + 5) === 0 ? null : text.toString("utf8", fieldAt, messageAt),
      message: text.toString("utf8", messageAt, rawAt),
      raw: bytes.subarray(rawAt, end),
    });
    at = end;
  }
  if (at !== bytes.length) throw new RejectSectionError("bytes follow the rejects");
  return rejects;
}

const REASONS = new Map<number, RejectReason>();
for (const reason of Object.keys(REASON_CODES)) {
  // the keys of a Record<RejectReason, ...> literal are exactly the reasons
  const known = reason as RejectReason;
  REASONS.set(REASON_CODES[known], known);
}

function reasonOf(code: number): RejectReason {
  const reason = REASONS.get(code);
  if (reason === undefined) throw new RejectSectionError(`reject reason ${code} is not known here`);
  return reason;
}
