/** What can be the name of a run. Pure; knows no disk. */

/** `dataset/run`, neither of them hidden: such a name joined to the runs folder stays inside it. */
export function isRunName(text: string): boolean {
  const parts = text.split('/');
  return (
    parts.length === 2 && parts.every((part) => part !== '' && !part.startsWith('.') && !part.includes('\0'))
  );
}
