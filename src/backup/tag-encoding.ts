/** Bytes of tag files to text, in the encoding that a bag declares. Pure; knows no disk. Source: RFC 8493, section 2.1.1. */

/** bagit.txt is UTF-8, and a byte order mark is a mistake there. */
export const DECLARED = 'UTF-8 without mark';

/** Throws a TypeError for bytes that are no such text. Undefined for an encoding that is not known here. */
export function decoderOf(encoding: string): ((bytes: Buffer) => string) | undefined {
  if (encoding === DECLARED) {
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    return (bytes) => decoder.decode(bytes);
  }
  const name = encoding.toLowerCase();
  // What browsers take ISO-8859-1 for has other characters in 32 places.
  if (name === 'iso-8859-1') return (bytes) => bytes.toString('latin1');
  if (name === 'utf-16')
    return (bytes) => decoderFor(bytes[0] === 0xff ? 'utf-16le' : 'utf-16be').decode(bytes);
  try {
    const decoder = decoderFor(name);
    return (bytes) => decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

function decoderFor(label: string): InstanceType<typeof TextDecoder> {
  return new TextDecoder(label, { fatal: true });
}
