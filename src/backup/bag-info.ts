/**
 * The two tag files that say what a bag is: bagit.txt and bag-info.txt. Text to values and back. Pure; knows no disk.
 * Source: RFC 8493, sections 2.1.1 and 2.2.2.
 */

export const DECLARATION_FILE = 'bagit.txt';
export const INFO_FILE = 'bag-info.txt';
export const FETCH_FILE = 'fetch.txt';
export const PAYLOAD_FOLDER = 'data';

/** What stands in the bagit.txt of a bag that firn writes. */
export const DECLARATION = 'BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n';

export interface Declaration {
  major: number;
  minor: number;
  /** Of all other tag files. */
  encoding: string;
  /** Written as the RFC wants it, to the last space. */
  strict: boolean;
}

/** bagit.txt, which is UTF-8 whatever it declares; undefined when it does not say what a bag has to. */
export function parseDeclaration(text: string): Declaration | undefined {
  const freely =
    /^\uFEFF?BagIt-Version\s*:\s*(\d+)\.(\d+)\s*[\r\n]\s*Tag-File-Character-Encoding\s*:\s*(\S+)\s*$/;
  const strictly = /^BagIt-Version: \d+\.\d+(?:\r\n|\n|\r)Tag-File-Character-Encoding: \S+(?:\r\n|\n|\r)?$/;
  const found = freely.exec(text);
  if (found === null) return undefined;
  const [, major, minor, encoding] = found;
  return { major: Number(major), minor: Number(minor), encoding, strict: strictly.test(text) };
}

/** One `Label: value` of bag-info.txt. Labels may come again. */
export type InfoElement = [label: string, value: string];

export interface ParsedInfo {
  elements: InfoElement[];
  /** 1-based lines that are none. */
  odd: number[];
}

/** Values that go on in indented lines are joined with a space. */
export function parseInfo(text: string): ParsedInfo {
  const elements: InfoElement[] = [];
  const odd: number[] = [];
  for (const [i, line] of text.split(/\r\n|\n|\r/).entries()) {
    if (/^[ \t]*$/.test(line)) continue;
    const last = elements.at(-1);
    const found = /^([^:\s][^:]*):(.*)$/s.exec(line);
    if (/^[ \t]/.test(line) && last !== undefined) last[1] = `${last[1]} ${line.trim()}`.trim();
    else if (found !== null) elements.push([found[1].trimEnd(), found[2].trim()]);
    else odd.push(i + 1);
  }
  return { elements, odd };
}

/** Line breaks in values become spaces: nothing that a value holds begins another element. */
export function formatInfo(elements: readonly InfoElement[]): string {
  return elements.map(([label, value]) => `${label}: ${value.replace(/\s+/g, ' ').trim()}\n`).join('');
}

/** All values of a label, whatever its case. */
export function infoValues(elements: readonly InfoElement[], label: string): string[] {
  return elements.filter(([other]) => other.toLowerCase() === label.toLowerCase()).map(([, value]) => value);
}

export interface Oxum {
  bytes: number;
  files: number;
}

/** `OctetCount.StreamCount`, the size of the payload. */
export function formatOxum({ bytes, files }: Oxum): string {
  return `${bytes}.${files}`;
}

export function parseOxum(text: string): Oxum | undefined {
  const found = /^(\d+)\.(\d+)$/.exec(text);
  if (found === null) return undefined;
  const [bytes, files] = [Number(found[1]), Number(found[2])];
  return Number.isSafeInteger(bytes) && Number.isSafeInteger(files) ? { bytes, files } : undefined;
}
