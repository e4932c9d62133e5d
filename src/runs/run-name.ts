/** What can be the name of a run. Pure; knows no disk. */

/** Half of a character: no file has such a name, and the system takes all of them for U+FFFD. */
const HALF = /\p{Surrogate}/u;

/** `dataset/run`, neither of them hidden: such a name joined to the runs folder stays inside it. */
export function isRunName(text: string): boolean {
  const parts = text.split('/');
  return (
    parts.length === 2 &&
    parts.every((part) => part !== '' && !part.startsWith('.') && !part.includes('\0') && !HALF.test(part))
  );
}
