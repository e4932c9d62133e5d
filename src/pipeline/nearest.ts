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
const LISTED = 10;

/** `Did you mean "x"?`: the nearest word, or those of which one is the beginning; else the list of what there is. */
export function suggest(word: string, words: readonly string[]): string {
  const near = nearest(word, words);
  if (near !== undefined) return `Did you mean "${near}"?`;
  const begun = words.filter((one) => isBeginning(word, one) || isBeginning(one, word));
  if (begun.length === 1) return `Did you mean "${begun[0]}"?`;
  if (begun.length > 1) return `Did you mean one of these? ${listed(begun)}.`;
  return words.length === 0 ? 'There is none.' : `There is: ${listed(words)}.`;
}

/** One or two letters begin too much. */
function isBeginning(part: string, whole: string): boolean {
  return part.length > 2 && whole.startsWith(part);
}

function listed(words: readonly string[]): string {
  const more = words.length - LISTED;
  return more > 0 ? `${words.slice(0, LISTED).join(', ')} and ${more} more` : words.join(', ');
}
