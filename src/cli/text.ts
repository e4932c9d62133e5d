/** Text for people: names made safe for a terminal, tables, sizes and times. Pure. */
import { formatCount } from '../units.js';

export { formatBytes, formatCount, plural } from '../units.js';

/**
 * What a terminal would obey, and what nobody sees: C0, DEL, C1, line and paragraph separators, the characters that turn
 * the direction of text, others without a width (but for those that join letters and emoji), halves of characters, and
 * those that are none, which XML does not allow.
 */
const UNSAFE =
  /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Surrogate}\u{ad}\u{180e}\u{200b}\u{2060}-\u{206f}\u{feff}\u{fff0}-\u{fffb}\u{fffe}\u{ffff}\u{e0000}-\u{e0fff}]/gu;

/** Names are data: what a terminal would obey is shown as an escape. Line breaks stay with `keepLines`. */
export function safe(text: string, keepLines = false): string {
  return text.replace(UNSAFE, (char) => {
    if (keepLines && char === '\n') return char;
    const code = char.codePointAt(0) as number;
    if (code < 256) return `\\x${code.toString(16).padStart(2, '0')}`;
    return code < 0x10000 ? `\\u${code.toString(16).padStart(4, '0')}` : `\\u{${code.toString(16)}}`;
  });
}

/**
 * A message of several lines, which are indented but for the first. A line break in a name is shown as an escape, so that
 * no name begins a line as the program does.
 */
export function safeLines(text: string): string {
  return text
    .trimEnd()
    .split(/\n(?= {2})/)
    .map((line) => safe(line))
    .join('\n');
}

/** JSON that a terminal cannot be fooled with: what `safe` would show is written as JSON's own escapes. */
export function formatJson(value: unknown, indent = 2): string {
  return JSON.stringify(value, null, indent).replace(UNSAFE, (char) =>
    char === '\n' ? char : char.replace(/[\s\S]/g, escapeUnit),
  );
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
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
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  return minutes < 60
    ? `${minutes} min ${whole % 60} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
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
