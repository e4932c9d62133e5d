/**
 * File names as the manifests of a bag write them, and whether such a name stays inside the bag. Pure; knows no disk.
 * Source: RFC 8493, sections 2.1.3 and 5.
 */

/** Which percent-encodings are undone; BagIt before 1.0 left `%` itself as it is. */
const ENCODED = /%(0A|0D|25)/gi;
const ENCODED_BEFORE_1 = /%(0A|0D)/gi;

/** Line breaks and percent signs, and only those, are percent-encoded (RFC 8493, 2.1.3). */
export function encodePath(path: string): string {
  return path.replace(/[%\r\n]/g, encodeURIComponent);
}

/** The name that stands in a manifest of a bag of this major version. */
export function decodePath(text: string, major: number): string {
  return text.replace(major >= 1 ? ENCODED : ENCODED_BEFORE_1, decodeURIComponent);
}

/** A `%` that should have been written as %25 (BagIt 1.0). */
export function hasStrayPercent(text: string): boolean {
  return text.replace(ENCODED, '').includes('%');
}

/**
 * Why a name from a manifest could reach outside the bag, here or with a program that reads names more freely (with
 * backslashes, drives, `~` or every percent-encoding); undefined when it cannot. `text` is the name as it is written.
 */
export function whyUnsafe(text: string, major: number): string | undefined {
  const reason = whyOutside(decodePath(text, major));
  if (reason !== undefined) return reason;
  const freely = whyOutside(decodeAll(text));
  return freely === undefined ? undefined : 'leads out of the bag once it is percent-decoded';
}

/** As `whyUnsafe`, of a name as it is. */
export function whyOutside(path: string): string | undefined {
  if (path === '') return 'is empty';
  if (path.includes('\0')) return 'holds a NUL character';
  if (/^[/\\]/.test(path)) return 'is an absolute path';
  if (/^[A-Za-z]:/.test(path)) return 'begins with a drive';
  if (path.startsWith('~')) return 'begins with "~", which some programs take for a home folder';
  if (path.split(/[/\\]/).includes('..')) return 'leads out of its folder by ".."';
  return undefined;
}

/** Every %XX, also where they are no UTF-8. */
function decodeAll(text: string): string {
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

/** `a/b`: no empty part and no `.`, as one name for one file. */
export function isPlain(path: string): boolean {
  return path.split('/').every((part) => part !== '' && part !== '.');
}

/** Names that some disks take for one: equal here. */
export function foldName(path: string): string {
  return path.normalize('NFC').toLowerCase();
}
