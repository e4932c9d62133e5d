/** `firn doctor`: says what is wrong with a project or the machine, and what to do. */
import type { Command } from 'commander';
import type { Diagnosis, Finding, Severity } from '../doctor/doctor.js';
import { act, EXIT, globalOptions, note, print, printJson } from './main.js';
import { progressLine } from './progress.js';
import { plural, safe } from './text.js';

interface DoctorFlags {
  full?: boolean;
  quick?: boolean;
  all?: boolean;
  json?: boolean;
}

/** Findings of one code that are printed one by one. */
const SHOWN = 5;

export function defineDoctor(program: Command): void {
  program
    .command('doctor [what...]')
    .description('check runs, references, indexes, cache and machine; say what is wrong and what to do')
    .option('--quick', 'look at headers and sizes only (the default)')
    .option('--full', 'read and hash every byte')
    .option('--all', `print every finding, also beyond ${SHOWN} of a kind`)
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  firn doctor                         everything, in seconds
  firn doctor --full                  every byte of every run, reference and stored output
  firn doctor reference               one target and what it is made from
  firn doctor My_Dataset/2024-11-22   one run

Name targets, runs (dataset/run) or paths to look at those only. Nothing is changed.

Exit codes: 0 nothing is wrong (advice may be given), 1 errors or warnings were found, 2 the request
is wrong, 130 interrupted.`,
    )
    .action((what: string[], flags: DoctorFlags, command: Command) =>
      act(async (signal) => {
        const { diagnose, isWrong } = await import('../doctor/doctor.js');
        if (flags.full && flags.quick) throw await contradiction();
        const progress = progressLine('doctor');
        let diagnosis: Diagnosis;
        try {
          diagnosis = await diagnose({
            ...globalOptions(command),
            only: what,
            full: flags.full ?? false,
            signal,
            onFailure: (check, error) => {
              if (process.env.FIRN_DEBUG === undefined || !(error instanceof Error)) return;
              progress.end();
              note(`${safe(check)}: ${safe(String(error.stack), true)}`);
            },
            onProgress: (done, total) => progress.show(done, total, 'bytes'),
          });
        } finally {
          progress.end();
        }
        if (flags.json) showJson(diagnosis);
        else show(diagnosis, flags.all ?? false);
        return isWrong(diagnosis) ? EXIT.failed : EXIT.done;
      }),
    );
}

async function contradiction(): Promise<Error> {
  const { FirnError } = await import('../errors.js');
  return new FirnError('usage', '--quick and --full cannot be had together');
}

function showJson({ mode, checked, findings }: Diagnosis): void {
  const count = (severity: Severity) => findings.filter((one) => one.severity === severity).length;
  printJson({
    mode,
    errors: count('error'),
    warnings: count('warning'),
    advice: count('advice'),
    checked,
    findings: findings.map(({ severity, code, path, message, remedy }) => ({
      severity,
      code,
      path,
      message,
      remedy,
    })),
  });
}

function show({ mode, checked, findings }: Diagnosis, all: boolean): void {
  const width = Math.max(...checked.map(({ group }) => group.length));
  for (const { group, text } of checked) print(`${group.padEnd(width)}  ${safe(text)}`);
  if (mode === 'quick') print('Headers and sizes were looked at; --full reads every byte.');
  print('');
  const shown = new Map<string, number>();
  for (const one of findings) {
    const before = shown.get(one.code) ?? 0;
    shown.set(one.code, before + 1);
    if (all || before < SHOWN) print(findingText(one));
    else if (before === SHOWN)
      print(`${one.severity} ${one.code}: ${moreOf(findings, one)} (--all prints them)\n`);
  }
  print(summaryText(findings));
}

function moreOf(findings: readonly Finding[], { code }: Finding): string {
  return `${findings.filter((one) => one.code === code).length - SHOWN} more`;
}

function findingText({ severity, code, path, message, remedy }: Finding): string {
  const where = path === null ? '' : `${safe(path)}: `;
  return `${severity} ${code}: ${where}${indented(message)}\n  -> ${indented(remedy)}\n`;
}

function indented(text: string): string {
  return text
    .split('\n')
    .map((line) => safe(line))
    .join('\n  ');
}

function summaryText(findings: readonly Finding[]): string {
  if (findings.length === 0) return 'nothing found';
  const count = (severity: Severity) => findings.filter((one) => one.severity === severity).length;
  const [errors, warnings, advice] = [count('error'), count('warning'), count('advice')];
  const parts = [
    ...(errors > 0 ? [plural(errors, 'error')] : []),
    ...(warnings > 0 ? [plural(warnings, 'warning')] : []),
    ...(advice > 0 ? [`${advice} ${advice === 1 ? 'piece' : 'pieces'} of advice`] : []),
  ];
  return parts.join(', ');
}
