// One event into one row. Two ways that give the same rows: `parseLikeLast` follows the template of an earlier event, byte for byte
// between the values; `parseAny` looks every member up, and learns the next template.
import {
  FIELD_BYTES,
  FIELD_KIND,
  FIELD_NONE,
  FIELD_NULLABLE,
  FIELD_ORDINAL,
  FIELD_SLOT,
  KIND_DECIMAL128,
  KIND_STRING,
  PREFIX_MAX,
  REASON_BAD_JSON,
  REASON_DUPLICATE_MEMBER,
  REASON_MISSING_MEMBER,
  REASON_NOT_AN_OBJECT,
  REASON_TOO_LARGE,
  REASON_WRONG_TYPE,
  ROW_VALID,
  SCHEMA_DEFAULTS_AT,
  SCHEMA_NAMES_AT,
  SCHEMA_NAMES_MASK,
  SCHEMA_REQUIRED_AT,
  SCRATCH_LEARN,
  SCRATCH_SEEN,
  SCRATCH_UNDECLARED,
  STEP_BYTES,
  STEP_FIELD,
  STEP_KIND,
  STEP_LENGTH,
  STEP_MASK,
  STEP_SLOT,
  TEMPLATE_ABSENT,
  TEMPLATE_ABSENT_COUNT,
  TEMPLATE_BYTES,
  TEMPLATE_COUNT,
  TEMPLATE_MISSES,
  TEMPLATE_VALID,
  UNDECLARED_BYTES,
  UNDECLARED_MAX,
} from "../../kernels/abi";
import { findName, hashText } from "./names";
import { skip } from "./skip";
import * as S from "./state";
import { copyText, escaped, sameBytes, space, special, stringEnd, unescape, unescapedBytes } from "./text";
import { parseField, parseValue } from "./value";

/** One in so many events that the template does not fit gives a new one. */
const LEARN_EVERY: u32 = 32;
const NULL_WORD: u32 = 0x6c6c756e;

let undeclared: u32 = 0;
let namesNext: usize = 0;
let learned: u32 = 0;
let nameAt: usize = 0;
let nameBytes: u32 = 0;
/** Bytes of the name as it was sent, with its escapes. */
let sentNameBytes: u32 = 0;

function zeroSlot(field: usize, row: usize): void {
  const slot = row + load<u32>(field, FIELD_SLOT);
  store<u64>(slot, 0);
  if (load<u8>(field, FIELD_KIND) == KIND_DECIMAL128) store<u64>(slot, 0, 8);
}

/** Copies a member's default value, or zeros, into the row; its validity bit too. */
function takeDefault(ordinal: u32, row: usize): void {
  const field = S.fieldsAt + ordinal * FIELD_BYTES;
  const defaults = <usize>load<u32>(S.schemaAt, SCHEMA_DEFAULTS_AT);
  const slot = load<u32>(field, FIELD_SLOT);
  store<u64>(row + slot, load<u64>(defaults + slot));
  if (load<u8>(field, FIELD_KIND) == KIND_DECIMAL128)
    store<u64>(row + slot, load<u64>(defaults + slot, 8), 8);
  const word = ROW_VALID + ((ordinal >> 6) << 3);
  const bit = (<u64>1) << (ordinal & 63);
  const valid = load<u64>(row + word) & ~bit;
  store<u64>(row + word, valid | (load<u64>(defaults + word) & bit));
}

// @ts-ignore: decorator
@inline
function quickSpace(p: usize): usize {
  return load<u8>(p) > 32 ? p : space(p);
}

/** True when the bytes at `p` are the text that a step expects before its value. */
// @ts-ignore: decorator
@inline
function expected(p: usize, step: usize, length: u32): bool {
  const head = v128.and(v128.xor(v128.load(p), v128.load(step)), v128.load(step, STEP_MASK));
  if (v128.any_true(head)) return false;
  return length <= 16 || sameBytes(p + 16, step + 16, length - 16);
}

/** The byte after the event at `p` when it follows the template, its row filled; 0 otherwise, and nothing is decided yet. */
export function parseLikeLast(p: usize, row: usize): usize {
  const template = S.templateAt;
  const count = load<u32>(template, TEMPLATE_COUNT);
  if (count == 0) return 0;
  S.setSoftReason(0);
  for (let word: u32 = 0; word < S.words; word++)
    store<u64>(row + (word << 3), load<u64>(template + (word << 3), TEMPLATE_VALID), ROW_VALID);
  let step = template + TEMPLATE_BYTES;
  const last = step + count * STEP_BYTES;
  for (; step < last; step += STEP_BYTES) {
    const length = load<u32>(step, STEP_LENGTH);
    if (!expected(p, step, length)) return 0;
    p += length;
    const kind = load<u32>(step, STEP_KIND);
    const slot = row + load<u32>(step, STEP_SLOT);
    if (kind == KIND_STRING && load<u8>(p) == 34) {
      const end = special(p + 1);
      if (load<u8>(end) == 34) {
        store<u64>(slot, <u64>(p + 1) | ((<u64>(end - p - 1)) << 32));
        p = end + 1;
        continue;
      }
    }
    const field = <usize>load<u32>(step, STEP_FIELD);
    if (load<u32>(p) == NULL_WORD && load<u8>(field, FIELD_NULLABLE)) {
      const ordinal = load<u32>(field, FIELD_ORDINAL);
      const word = row + ROW_VALID + ((ordinal >> 6) << 3);
      store<u64>(word, load<u64>(word) & ~((<u64>1) << (ordinal & 63)));
      zeroSlot(field, row);
      p += 4;
      continue;
    }
    p = parseValue(p, kind, field, slot);
    if (p == 0) return 0;
  }
  const length = load<u32>(step, STEP_LENGTH);
  if (!expected(p, step, length)) return 0;
  const absent = load<u32>(template, TEMPLATE_ABSENT_COUNT);
  for (let i: u32 = 0; i < absent; i++)
    takeDefault(load<u16>(template + (i << 1), TEMPLATE_ABSENT), row);
  zeroSlot(S.fieldsAt + S.fieldCount * FIELD_BYTES, row);
  return p + length;
}

/** The byte after the name at `p` (its opening quote), the name in `nameAt`; 0 when it is faulty. */
function parseName(p: usize): usize {
  if (load<u8>(p) != 34) return S.fail(REASON_BAD_JSON, FIELD_NONE);
  nameAt = p + 1;
  const quick = special(nameAt);
  if (load<u8>(quick) == 34) {
    nameBytes = <u32>(quick - nameAt);
    sentNameBytes = nameBytes;
    return quick + 1;
  }
  const end = stringEnd(quick);
  if (end == 0) return S.fail(REASON_BAD_JSON, FIELD_NONE);
  if (S.softReason) return S.fail(S.softReason, FIELD_NONE);
  nameBytes = <u32>(end - nameAt);
  sentNameBytes = nameBytes;
  if (escaped) {
    if (!unescape(nameAt, quick, namesNext, S.namesAt + S.eventBytesMax))
      return S.fail(REASON_TOO_LARGE, FIELD_NONE);
    nameAt = namesNext;
    nameBytes = unescapedBytes;
    namesNext += nameBytes;
  }
  return end + 1;
}

/** Notes an undeclared member whose name is in `nameAt`, its text starting at `from` and its value at `p`. */
function undeclaredMember(from: usize, p: usize): usize {
  const list = S.scratchAt + SCRATCH_UNDECLARED;
  const at = nameAt;
  const bytes = nameBytes;
  const hash = hashText(at, bytes);
  for (let i: u32 = 0; i < undeclared; i++) {
    const entry = list + i * UNDECLARED_BYTES;
    if (load<u64>(entry) == hash && load<u32>(entry, 12) == bytes && sameBytes(load<u32>(entry, 8), at, bytes))
      return S.failName(REASON_DUPLICATE_MEMBER, from + 1, sentNameBytes);
  }
  if (undeclared == UNDECLARED_MAX) return S.fail(REASON_TOO_LARGE, FIELD_NONE);
  const end = skip(p, 1);
  if (end == 0) return S.fail(REASON_BAD_JSON, FIELD_NONE);
  if (S.softReason) return S.fail(S.softReason, FIELD_NONE);
  const entry = list + undeclared * UNDECLARED_BYTES;
  store<u64>(entry, hash);
  store<u32>(entry, <u32>at, 8);
  store<u32>(entry, bytes, 12);
  store<u32>(entry, <u32>from, 16);
  store<u32>(entry, <u32>(end - from), 20);
  undeclared++;
  return end;
}

function declaredMember(ordinal: u32, p: usize, row: usize): usize {
  const word = (ordinal >> 6) << 3;
  const bit = (<u64>1) << (ordinal & 63);
  const seen = S.scratchAt + SCRATCH_SEEN + word;
  if (load<u64>(seen) & bit) return S.fail(REASON_DUPLICATE_MEMBER, ordinal);
  store<u64>(seen, load<u64>(seen) | bit);
  const field = S.fieldsAt + ordinal * FIELD_BYTES;
  if (load<u32>(p) == NULL_WORD) {
    if (!load<u8>(field, FIELD_NULLABLE)) return S.fail(REASON_WRONG_TYPE, ordinal);
    zeroSlot(field, row);
    return p + 4;
  }
  p = parseField(p, field, row);
  if (p) store<u64>(row + word, load<u64>(row + word, ROW_VALID) | bit, ROW_VALID);
  return p;
}

/** Fills what the event does not hold. False when a member is missing that must be there. */
function fillAbsent(row: usize): bool {
  const required = <usize>load<u32>(S.schemaAt, SCHEMA_REQUIRED_AT);
  const seenAt = S.scratchAt + SCRATCH_SEEN;
  for (let word: u32 = 0; word < S.words; word++) {
    const lacking = load<u64>(required + (word << 3)) & ~load<u64>(seenAt + (word << 3));
    if (lacking == 0) continue;
    S.fail(REASON_MISSING_MEMBER, (word << 6) + <u32>ctz(lacking));
    return false;
  }
  for (let word: u32 = 0; word < S.words; word++) {
    let absent = ~load<u64>(seenAt + (word << 3));
    const left = S.fieldCount - (word << 6);
    if (left < 64) absent &= ((<u64>1) << left) - 1;
    for (; absent != 0; absent &= absent - 1) takeDefault((word << 6) + <u32>ctz(absent), row);
  }
  return true;
}

/** Writes the undeclared members as one JSON object into the arena: the value of `attrs`. */
function putAttrs(row: usize): bool {
  const field = S.fieldsAt + S.fieldCount * FIELD_BYTES;
  const slot = row + load<u32>(field, FIELD_SLOT);
  store<u64>(slot, 0);
  if (undeclared == 0) return true;
  const list = S.scratchAt + SCRATCH_UNDECLARED;
  const start = S.arenaNext;
  let to = start;
  for (let i: u32 = 0; i < undeclared; i++) {
    const entry = list + i * UNDECLARED_BYTES;
    const bytes = load<u32>(entry, 20);
    if (to + bytes + 32 > S.arenaEnd) {
      S.fail(REASON_TOO_LARGE, FIELD_NONE);
      return false;
    }
    store<u8>(to++, i ? 44 : 123);
    copyText(load<u32>(entry, 16), bytes, to);
    to += bytes;
  }
  store<u8>(to++, 125);
  S.setArenaNext(to);
  store<u64>(slot, (<u64>start) | ((<u64>(to - start)) << 32));
  const word = row + ROW_VALID + ((S.fieldCount >> 6) << 3);
  store<u64>(word, load<u64>(word) | ((<u64>1) << (S.fieldCount & 63)));
  return true;
}

/** Notes a step for the template: the text [from, to) stands before the value of `field`, or behind the last. */
function noteStep(from: usize, to: usize, field: usize): void {
  const at = S.scratchAt + SCRATCH_LEARN + learned * 12;
  store<u32>(at, <u32>from);
  store<u32>(at, <u32>to, 4);
  store<u32>(at, <u32>field, 8);
  learned++;
}

function learnStep(index: u32): bool {
  const noted = S.scratchAt + SCRATCH_LEARN + index * 12;
  const from = <usize>load<u32>(noted);
  const length = load<u32>(noted, 4) - <u32>from;
  if (length > <u32>PREFIX_MAX) return false;
  const step = S.templateAt + TEMPLATE_BYTES + index * STEP_BYTES;
  memory.fill(step, 0, STEP_BYTES);
  for (let i: u32 = 0; i < length; i++) {
    // A line end is white space in a JSON body but ends a line of NDJSON: the template serves both.
    if (load<u8>(from + i) == 10) return false;
    store<u8>(step + i, load<u8>(from + i));
    if (i < 16) store<u8>(step + i, 0xff, STEP_MASK);
  }
  const field = <usize>load<u32>(noted, 8);
  store<u32>(step, length, STEP_LENGTH);
  if (field == 0) return true;
  store<u32>(step, load<u8>(field, FIELD_KIND), STEP_KIND);
  store<u32>(step, load<u32>(field, FIELD_SLOT), STEP_SLOT);
  store<u32>(step, <u32>field, STEP_FIELD);
  return true;
}

/** Makes the event that was just parsed the template of the next, if all its members are declared. */
function learn(learning: bool): void {
  const template = S.templateAt;
  const misses = load<u32>(template, TEMPLATE_MISSES);
  store<u32>(template, misses + 1, TEMPLATE_MISSES);
  if (!learning || undeclared > 0) return;
  store<u32>(template, 0, TEMPLATE_COUNT);
  for (let index: u32 = 0; index < learned; index++) if (!learnStep(index)) return;
  let absent: u32 = 0;
  const seenAt = S.scratchAt + SCRATCH_SEEN;
  for (let ordinal: u32 = 0; ordinal < S.fieldCount; ordinal++) {
    const seen = load<u64>(seenAt + ((ordinal >> 6) << 3)) >> (ordinal & 63);
    if (!(seen & 1)) store<u16>(template + (absent++ << 1), ordinal, TEMPLATE_ABSENT);
  }
  store<u32>(template, absent, TEMPLATE_ABSENT_COUNT);
  for (let word: u32 = 0; word < S.words; word++)
    store<u64>(template + (word << 3), load<u64>(seenAt + (word << 3)), TEMPLATE_VALID);
  store<u32>(template, learned - 1, TEMPLATE_COUNT);
}

/** The byte after the event at `p`, its row filled; 0 when it is refused (`failReason`, unless the grammar checker objects). */
export function parseAny(p: usize, row: usize): usize {
  S.setSoftReason(0);
  if (load<u8>(p) != 123) return S.fail(REASON_NOT_AN_OBJECT, FIELD_NONE);
  undeclared = 0;
  learned = 0;
  namesNext = S.namesAt;
  const learning = load<u32>(S.templateAt, TEMPLATE_MISSES) % LEARN_EVERY == 0;
  for (let word: u32 = 0; word < S.words; word++) {
    store<u64>(S.scratchAt + SCRATCH_SEEN + (word << 3), 0);
    store<u64>(row + ROW_VALID + (word << 3), 0);
  }
  let between = p;
  p = space(p + 1);
  if (load<u8>(p) != 125) {
    const names = <usize>load<u32>(S.schemaAt, SCHEMA_NAMES_AT);
    const mask = load<u32>(S.schemaAt, SCHEMA_NAMES_MASK);
    while (true) {
      const from = p;
      p = parseName(p);
      if (p == 0) return 0;
      if (load<u8>(p) != 58) {
        p = space(p);
        if (load<u8>(p) != 58) return S.fail(REASON_BAD_JSON, FIELD_NONE);
      }
      p = quickSpace(p + 1);
      const ordinal = findName(names, mask, nameAt, nameBytes);
      if (ordinal < 0) {
        p = undeclaredMember(from, p);
      } else {
        if (learning) noteStep(between, p, S.fieldsAt + <u32>ordinal * FIELD_BYTES);
        p = declaredMember(<u32>ordinal, p, row);
      }
      if (p == 0) return 0;
      between = p;
      p = quickSpace(p);
      const c = load<u8>(p);
      if (c == 125) break;
      if (c != 44) return S.fail(REASON_BAD_JSON, FIELD_NONE);
      p = quickSpace(p + 1);
    }
  }
  p++;
  if (!fillAbsent(row) || !putAttrs(row)) return 0;
  if (learning) noteStep(between, p, 0);
  learn(learning);
  return p;
}
