// What is kept of recent texts: exactly the youngest that fit both bounds, against a plain list.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { Recent } from "../../src/query/recent.ts";

const TEXT = fc.constantFrom("a", "bb", "ccc", "dddd", "e".repeat(9), "f".repeat(30));
const STEP = fc.record({ set: fc.boolean(), text: TEXT });

/** The same by hand: entries in order of last use. */
class PlainRecent {
  entries: { text: string; value: number }[] = [];
  get(text: string): number | undefined {
    const found = this.entries.find((entry) => entry.text === text);
    if (found !== undefined)
      this.entries = [...this.entries.filter((entry) => entry !== found), found];
    return found?.value;
  }
  set(text: string, value: number): void {
    if (text.length > 20) return;
    this.entries = [...this.entries.filter((entry) => entry.text !== text), { text, value }];
    const characters = (): number =>
      this.entries.reduce((sum, entry) => sum + entry.text.length, 0);
    while (this.entries.length > 3 || characters() > 20) this.entries.shift();
  }
}

test("any sequence of uses keeps what the plain list keeps", () => {
  fc.assert(
    fc.property(fc.array(STEP, { maxLength: 60 }), (steps) => {
      const recent = new Recent<number>({ countMax: 3, charactersMax: 20 });
      const plain = new PlainRecent();
      for (const [index, { set, text }] of steps.entries()) {
        if (set) recent.set(text, index);
        if (set) plain.set(text, index);
        expect(recent.get(text)).toBe(plain.get(text));
      }
    }),
  );
});
