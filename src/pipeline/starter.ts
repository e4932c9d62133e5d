/** The text of a first pipeline.yaml. Pure. */

export interface Found {
  runsDir: string;
  /** Where the schema for editors is. */
  schema: string;
  /** Patterns of sequence files that match something. */
  sequences: string[];
  /** Model versions that have runs. Two of them get no reference in common: vectors of two models do not compare. */
  versions: string[];
}

/** Characters of a version in the name of its reference, which is a name of a folder as well. */
const LONGEST = 100;

export function starterPipeline(found: Found): string {
  const lines = [
    `# yaml-language-server: $schema=${found.schema}`,
    '# What is built from what. `firn build` makes all of it, and only what is stale.',
    `runs: ${quote(found.runsDir)}`,
    '',
    'targets:',
  ];
  if (found.sequences.length > 0) {
    lines.push(
      '  embedded:                     # sequences/<dataset>/<run>.fasta -> that run',
      '    rule: embed',
      `    from: [${found.sequences.map(quote).join(', ')}]`,
      '    with: {embedder: kmer, version: kmer-4}',
    );
  }
  lines.push(
    '  compressed:                   # embeddings.npz beside embeddings.npy, a step for each run',
    '    rule: compress',
    '    runs: {older-than: 30d}',
  );
  const references: string[] = [];
  if (found.versions.length < 2) {
    references.push('reference');
    lines.push(
      '  reference:                    # every run in one array, with the source of each row',
      '    rule: consolidate',
      '    runs: all',
      '    out: data/reference',
    );
  }
  for (const version of found.versions) {
    const word = version
      .replace(/[^A-Za-z0-9._-]+/g, '-')
      .replace(/^-+|-+$/g, '')
      .slice(0, LONGEST);
    let name = `reference-${word}`;
    for (let i = 2; references.includes(name); i++) name = `reference-${word}-${i}`;
    references.push(name);
    lines.push(
      `  ${name}:`,
      '    rule: consolidate',
      `    runs: {version: ${quote(version)}}`,
      `    out: ${quote(`data/${name.replace('-', '_')}`)}`,
    );
  }
  lines.push(
    '  index:                        # a FAISS index beside each reference',
    '    rule: index',
    `    from: [${references.join(', ')}]`,
    '    with: {recall: 0.95}',
  );
  return `${lines.join('\n')}\n`;
}

/** Always quoted where YAML could read something else: numbers, signs, words like `on`. */
function quote(text: string): string {
  return /^[A-Za-z][A-Za-z0-9_./*-]*$/.test(text) && !/^(true|false|yes|no|on|off|null|y|n)$/i.test(text)
    ? text
    : JSON.stringify(text);
}
