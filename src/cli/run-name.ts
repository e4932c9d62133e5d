/** How people name a run on the command line. Pure. */

/** `dataset/run`, also from the path of its folder, which is what completion in a shell gives. */
export function runNameIn(runsDir: string, text: string): string {
  const plain = text.replace(/^(\.\/)+/, '').replace(/\/+$/, '');
  return plain.startsWith(`${runsDir}/`) ? plain.slice(runsDir.length + 1) : plain;
}
