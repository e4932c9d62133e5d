/** Text for people: names made safe for a terminal, tables, sizes and times. Pure. */
import { formatCount } from '../units.js';

export { formatBytes, formatCount, plural } from '../units.js';

/** C0, DEL, C1, line and paragraph separators, and the characters that turn the direction of text. */
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Names are data: what a terminal would obey is shown as an escape. Line breaks stay with `keepLines`. */
export function safe(text: string, keepLines = false): string {
  return text.replace(UNSAFE, (char) => {
    if (keepLines && char === '\n') return char;
    const code = char.charCodeAt(0);
    return code < 256
      ? `\\x${code.toString(16).padStart(2, '0')}`
      : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/** JSON that a terminal cannot be fooled with: what `safe` would show is written as JSON's own escapes. */
export function formatJson(value: unknown, indent = 2): string {
  return JSON.stringify(value, null, indent).replace(UNSAFE, (char) =>
    char === '\n' ? char : `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

export interface Column {
  title: string;
  align?: 'right';
}

/** Rows under their titles, as wide as needed; nothing is cut. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const cells = [columns.map((column) => column.title), ...rows.map((row) => row.map((cell) => safe(cell)))];
  const widths = columns.map((_, i) => cells.reduce((most, row) => Math.max(most, widthOf(row[i])), 0));
  return cells
    .map((row) =>
      row
        .map((cell, i) => {
          const space = ' '.repeat(widths[i] - widthOf(cell));
          return columns[i].align === 'right' ? space + cell : cell + space;
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Places on a terminal: combining marks take none, East Asian wide characters and emoji two. */
export function widthOf(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const char of text) {
    if (/^\p{Mark}|\p{Cf}$/u.test(char)) continue;
    width +=
      /^[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}$/u.test(
        char,
      )
        ? 2
        : 1;
  }
  return width;
}

/** As much of the text as takes up to `width` places. */
export function cutTo(text: string, width: number): string {
  let cut = '';
  let used = 0;
  for (const char of text) {
    used += widthOf(char);
    if (used > width) break;
    cut += char;
  }
  return cut;
}

export function formatSeconds(seconds: number): string {
  if (seconds < 0.095) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  const rest = Math.round(seconds - minutes * 60);
  return minutes < 60 ? `${minutes} min ${rest} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Local time to the second: `2024-11-22 15:45:00`. */
export function formatTime(date: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** Whole days, or hours where it is less than two of them. */
export function formatAge(ms: number): string {
  const hours = Math.max(0, Math.floor(ms / 3_600_000));
  return hours < 48 ? `${hours} h` : `${formatCount(Math.floor(hours / 24))} d`;
}
