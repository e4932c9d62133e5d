/** A name as one word of a command that people paste into a shell. Pure. */

/** What a terminal would obey, or show as something else. */
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/;

/** `plain/name`, `'with space'`, or for bytes that no terminal shows `$'a\x1bb'` as bash, zsh and ksh read it. */
export function shellWord(text: string): string {
  if (/^[A-Za-z0-9_./:=@%+,-]+$/.test(text)) return text;
  if (!UNPRINTABLE.test(text)) return `'${text.replaceAll("'", "'\\''")}'`;
  const bytes = [...text].map((char) => {
    if (UNPRINTABLE.test(char))
      return [...Buffer.from(char)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
    return char === '\\' || char === "'" ? `\\${char}` : char;
  });
  return `$'${bytes.join('')}'`;
}

/** The words of a command in backticks, ready to be pasted. */
export function command(...words: string[]): string {
  return `\`${words.map(shellWord).join(' ')}\``;
}
