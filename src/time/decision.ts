// A decision as data: facts with few values each, and rules that cover every combination of them exactly once (test/time holds that). The
// code looks the answer up, the documentation prints the table: neither can say something else.

/** What a decision rests on: a name, and the values that it can have, with what each means. */
export type Facts = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** One value of each fact. */
export type FactValues<F extends Facts> = { readonly [Name in keyof F]: keyof F[Name] & string };

/** A rule: where all facts that it names have one of these values, the answer is `answer`. */
export interface Rule<F extends Facts, Answer extends string> {
  readonly when: { readonly [Name in keyof F]?: readonly (keyof F[Name] & string)[] };
  readonly answer: Answer;
  readonly because: string;
}

export interface DecisionTable<F extends Facts, Answer extends string> {
  readonly question: string;
  readonly facts: F;
  readonly answers: Readonly<Record<Answer, string>>;
  readonly rules: readonly Rule<F, Answer>[];
}

/** Types a table by what stands in it. */
export function decisionTable<const F extends Facts, const Answer extends string>(
  table: DecisionTable<F, Answer>,
): DecisionTable<F, Answer> {
  return table;
}

/** The rules that apply to these facts: exactly one in a table that is total. */
export function rulesFor<F extends Facts, Answer extends string>(
  { rules }: DecisionTable<F, Answer>,
  values: FactValues<F>,
): Rule<F, Answer>[] {
  return rules.filter(({ when }) =>
    Object.entries(when).every(
      // entries of an object type by its own keys: the values are lists of that fact's values
      ([name, allowed]) => (allowed as readonly string[]).includes(values[name] ?? ""),
    ),
  );
}

/** Every combination of the facts' values. */
export function combinations<F extends Facts>({
  facts,
}: DecisionTable<F, string>): FactValues<F>[] {
  let found: Record<string, string>[] = [{}];
  for (const [name, values] of Object.entries(facts))
    found = found.flatMap((before) =>
      Object.keys(values).map((value) => ({ ...before, [name]: value })),
    );
  // each has one of its values for every fact
  return found as FactValues<F>[];
}

/** The table in Markdown, as the documentation shows it. */
export function markdownOf<F extends Facts>(table: DecisionTable<F, string>): string {
  const names = Object.keys(table.facts);
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const rows = table.rules.map(({ when, answer, because }) => {
    const cells = names.map((name) => {
      const allowed: readonly string[] | undefined = when[name];
      return allowed === undefined ? "any" : allowed.join(" or ");
    });
    return line([...cells, `**${answer}**`, because]);
  });
  const meanings = (values: Readonly<Record<string, string>>): string =>
    Object.entries(values)
      .map(([value, means]) => `*${value}*: ${means}`)
      .join("; ");
  return [
    `**${table.question}**`,
    "",
    line([...names, "answer", "because"]),
    line([...names, "", ""].map(() => "---")),
    ...rows,
    "",
    ...Object.entries(table.facts).map(([name, values]) => `- ${name}: ${meanings(values)}.`),
    `- answer: ${meanings(table.answers)}.`,
  ].join("\n");
}
