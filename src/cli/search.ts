/** `firn search`: what is this sequence like? */
import { join, relative, resolve } from 'node:path';
import type { Command } from 'commander';
import { FirnError } from '../errors.js';
import { runNameIn } from '../runs/run-name.js';
import type { SearchAnswer, SearchQuery } from '../search.js';
import { act, EXIT, globalOptions, note, print, printJson, wholeNumber } from './main.js';
import { safe, table } from './text.js';

interface SearchFlags {
  run?: string;
  seqIdx?: number;
  query?: string;
  queryFile?: string;
  reference: string;
  topK: number;
  nprobe?: number;
  excludeSameRun?: boolean;
  output?: string;
  json?: boolean;
}

export function defineSearch(program: Command): void {
  program
    .command('search')
    .description('find the nearest sequences in a reference')
    .option('--run <dataset/run>', 'the run that holds the query')
    .option('--seq-idx <row>', 'its row in the run, from 0', wholeNumber('--seq-idx', 0))
    .option('--query <sequence>', 'a nucleotide sequence, embedded as the runs of the reference were')
    .option('--query-file <fasta>', 'the same from the sequences of a FASTA or FASTQ file')
    .option(
      '--reference <dir|tag>',
      'a reference: its directory or target, or the tag of a release',
      'data/reference',
    )
    .option('-k, --top-k <k>', 'how many neighbours', wholeNumber('--top-k', 1), 10)
    .option(
      '--nprobe <lists>',
      'lists of an IVF index to look into, instead of the number in the index',
      wholeNumber('--nprobe', 1),
    )
    .option('--exclude-same-run', 'leave out rows of the run that the query is from')
    .option('--output <file>', 'write the answer as JSON to this file')
    .option('--json', 'print the answer as JSON')
    .addHelpText(
      'after',
      `
Examples:
  firn search --run My_Dataset/2024-11-22_10-30-45 --seq-idx 42
  firn search --run My_Dataset/2024-11-22_10-30-45 --seq-idx 42 --exclude-same-run --top-k 5
  firn search --query ACGTTGCAAGCTTGCATGCCTGCAGG --reference data/reference_v2.0 --json

Distances are squared Euclidean (or inner products, for an index of that metric), as FAISS gives them.`,
    )
    .action((flags: SearchFlags, command: Command) =>
      act(async (signal) => {
        const { projectPlaces } = await import('../project.js');
        const { disk } = await import('../files/disk.js');
        const { openSearch } = await import('../search.js');
        const { referenceMeant } = await import('../release/find.js');
        checkFlags(flags);
        if (flags.output !== undefined) {
          const { expectAnswerFile } = await import('../answer-file.js');
          await expectAnswerFile(disk, resolve(flags.output));
        }
        const { root, pipeline } = await projectPlaces(globalOptions(command).directory, disk, {
          anywhere: command.getOptionValueSource('reference') === 'cli',
        });
        const { topK, nprobe, excludeSameRun = false } = flags;
        const { howToIndex } = await import('../reference/index-target.js');
        const reference = await referenceMeant(disk, { root, pipeline }, flags.reference);
        const place = {
          port: disk,
          reference,
          runsDir: join(root, pipeline.runsDir),
          howToIndex: howToIndex(pipeline.targets?.values() ?? [], relative(root, reference)),
        };
        const options = { topK, excludeSameRun, signal, ...(nprobe === undefined ? {} : { nprobe }) };
        const searcher = await openSearch(place, options);
        const answers: object[] = [];
        const told = new Set<string>();
        let unanswered = 0;
        try {
          for await (const query of queriesOf(flags, pipeline.runsDir)) {
            const answer = await searcher.search(query);
            if (answer.problem !== undefined) {
              if (flags.queryFile === undefined) throw new FirnError('usage', answer.problem);
              // The others of the file have their answers.
              note(`firn: ${safe(answer.problem)}`);
              unanswered += 1;
            }
            if (flags.json || flags.output !== undefined) answers.push(answerJson(answer));
            if (!flags.json && answer.problem === undefined) show(answer);
            for (const text of answer.notes) {
              if (!told.has(text)) note(`note: ${safe(text)}`);
              told.add(text);
            }
          }
        } finally {
          await searcher.close();
        }
        // One object for one question; a file of sequences asks as many as it holds.
        const json = flags.queryFile === undefined ? answers[0] : answers;
        if (flags.json) printJson(json);
        if (flags.output !== undefined) {
          const { writeFileAtomic } = await import('../files/write-file.js');
          await writeFileAtomic(disk, resolve(flags.output), `${JSON.stringify(json, null, 2)}\n`);
          if (!flags.json) note(`written to ${safe(flags.output)}`);
        }
        return unanswered === 0 ? EXIT.done : EXIT.failed;
      }),
    );
}

function checkFlags({ run, seqIdx, query, queryFile }: SearchFlags): void {
  const given = [run, query, queryFile].filter((value) => value !== undefined);
  if (given.length !== 1) {
    throw new FirnError(
      'usage',
      'a search needs exactly one of --run (with --seq-idx), --query and --query-file',
    );
  }
  if ((run === undefined) !== (seqIdx === undefined)) {
    throw new FirnError(
      'usage',
      run === undefined ? '--seq-idx goes with --run' : '--run needs --seq-idx: which row of the run?',
    );
  }
}

async function* queriesOf(flags: SearchFlags, runsDir: string): AsyncGenerator<SearchQuery> {
  if (flags.run !== undefined) {
    yield { run: runNameIn(runsDir, flags.run), seqIdx: flags.seqIdx as number };
  } else if (flags.query !== undefined) {
    yield { sequence: flags.query };
  } else {
    const { readSequences } = await import('../sequences/read.js');
    const { disk } = await import('../files/disk.js');
    const path = flags.queryFile as string;
    let found = false;
    for await (const { name, sequence } of readSequences(disk, resolve(path))) {
      found = true;
      yield { sequence, name };
    }
    if (!found) throw new FirnError('input', 'holds no sequence', { path });
  }
}

/** The older system's fields and no others, but for names where runs have them and a metric that is not squared L2. */
function answerJson({ query, results, metric, problem }: SearchAnswer): object {
  return {
    query: {
      run: query.run,
      seq_idx: query.seq_idx,
      ...(query.run !== null || query.name === null ? {} : { name: query.name }),
    },
    results: results.map(({ rank, distance, dataset, run_id, seq_idx, source_file, name }) => ({
      rank,
      distance,
      dataset,
      run_id,
      seq_idx,
      source_file,
      ...(name === null ? {} : { name }),
    })),
    ...(metric === 'l2' ? {} : { metric }),
    ...(problem === undefined ? {} : { error: problem }),
  };
}

function show(answer: SearchAnswer): void {
  const { query, results, metric } = answer;
  const asked =
    query.run === null ? (query.name ?? 'the sequence given') : `${query.run} row ${query.seq_idx}`;
  print(
    `nearest to ${safe(asked)}${query.run !== null && query.name !== null ? ` (${safe(query.name)})` : ''}:`,
  );
  const title = metric === 'l2' ? 'distance' : 'inner product';
  print(
    table(
      [
        { title: 'rank', align: 'right' },
        { title, align: 'right' },
        { title: 'dataset' },
        { title: 'run' },
        { title: 'row', align: 'right' },
        { title: 'sequence' },
      ],
      results.map((hit) => [
        String(hit.rank),
        hit.distance.toFixed(4),
        hit.dataset,
        hit.run_id,
        String(hit.seq_idx),
        hit.name ?? '',
      ]),
    ),
  );
}
