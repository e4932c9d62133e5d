/** The nearest right word for a misspelt one. */

/** Edit distance with swaps of neighbours counted as one (optimal string alignment). */
export function editDistance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    rows.push([i]);
    for (let j = 1; j <= b.length; j++) {
      let best = Math.min(
        rows[i - 1][j] + 1,
        rows[i][j - 1] + 1,
        rows[i - 1][j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1),
      );
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, rows[i - 2][j - 2] + 1);
      rows[i].push(best);
    }
  }
  return rows[a.length][b.length];
}

/** The closest of `words`, when it is close enough to be what was meant. */
export function nearest(word: string, words: Iterable<string>): string | undefined {
  const limit = Math.max(1, Math.floor(word.length / 3));
  let best: string | undefined;
  let bestDistance = limit + 1;
  for (const candidate of words) {
    // Long strings are no typing errors of each other, and the table is quadratic.
    if (Math.abs(candidate.length - word.length) > limit || candidate.length > 200) continue;
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** As many words as advice can hold. */
const LISTED = 20;

/** `Did you mean "x"?`, or the list of what there is, the first of many. */
export function suggest(word: string, words: readonly string[]): string {
  const near = nearest(word, words);
  if (near !== undefined) return `Did you mean "${near}"?`;
  if (words.length === 0) return 'There is none.';
  const more = words.length > LISTED ? ` and ${words.length - LISTED} more` : '';
  return `There is: ${words.slice(0, LISTED).join(', ')}${more}.`;
}
