/** `firn doctor` on pipeline.yaml, on what the next build would refuse, and on cache/. */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readLog, rewriteLog } from '../src/engine/log-file.js';
import { disk } from '../src/files/disk.js';
import {
  type Broken,
  doctor,
  expectFindings,
  healthyProject,
  INDEX,
  lie,
  METADATA,
  PIPELINE,
  REFERENCE,
  settle,
  withoutFaissNode,
} from './rig/doctor.js';
import { Gate } from './rig/gate.js';
import { TestProject } from './rig/project.js';

const test = suite('doctor: pipeline and cache');

async function withRun(pipeline: string): Promise<TestProject> {
  const project = new TestProject(pipeline);
  await project.writeRun('A/r1');
  return project;
}

/** A project that runs a program, which is not started. */
const running = (words: string) => () =>
  withRun(`targets:\n  made: {rule: command, run: ${words}, out: made.txt}\n`);

/** The healthy project with one more target. */
const adding = (target: string) => (project: TestProject) =>
  project.write('pipeline.yaml', `${PIPELINE}  ${target}\n`);

const CASES: { [what: string]: Broken } = {
  'there is no pipeline.yaml': {
    finds: ['pipeline-missing'],
    breaks: (project) => project.remove('pipeline.yaml'),
    path: 'pipeline.yaml',
    remedy: /`firn init`/,
  },
  'a field is misspelt': {
    finds: ['pipeline-invalid'],
    breaks: adding('more: {rule: compress, runz: all}'),
    path: 'pipeline.yaml',
    message: /^line 4, column 26: .*runz/,
    remedy: /Did you mean "runs"\?/,
  },
  'it is no YAML': {
    finds: ['pipeline-invalid'],
    breaks: (project) => project.write('pipeline.yaml', 'targets: {a: [}\n'),
    message: /^line 1/,
  },
  'it is a folder': {
    finds: ['pipeline-invalid'],
    breaks(project) {
      project.remove('pipeline.yaml');
      project.write('pipeline.yaml/x', 'x');
    },
    message: /is a folder, expected a file/,
  },
  'a filter asks for a version that no run has': {
    finds: ['target-empty'],
    breaks: adding('more: {rule: consolidate, runs: {version: v9, dataset: A}, out: data/more}'),
    message: /the target more has nothing to do: its filter .* selects none of 3 runs|version "v9"/,
  },
  'a filter names a dataset that is not there': {
    finds: ['target-empty'],
    breaks: adding('more: {rule: consolidate, runs: {dataset: X}, out: data/more}'),
    message: /its filter \{"dataset":"X"\} selects none of 3 runs/,
  },
  'sequences have other names': {
    finds: ['target-empty'],
    breaks: adding('more: {rule: embed, from: "sequences/*/*.fasta", with: {k: 2}}'),
    message: /nothing matches sequences\/\*\/\*\.fasta/,
    remedy: /`ls \.\/sequences\/`/,
  },
  'a rule of the lab has something to say': {
    finds: ['pipeline-warning'],
    breaks(project) {
      project.write('pipeline.yaml', `${PIPELINE}  more: {rule: touch, out: more.txt}\n`);
      project.write(
        'rules/touch.mjs',
        `export default {
  name: 'touch', version: '1', summary: '', fields: { out: 'required' }, parameters: { type: 'object' },
  expand(target, view) {
    view.warn('it is old');
    return [{ id: target.name, params: null, inputs: [], outputs: [{ kind: 'file', path: target.out[0] }] }];
  },
  async run() {},
};
`,
      );
    },
    message: /^more: it is old$/,
  },
  'a filter waits for an age: nothing is wrong': {
    finds: [],
    breaks: adding('more: {rule: compress, runs: {older-than: 30d}}'),
  },
  'a program that is nowhere': {
    finds: ['program-missing'],
    breaks: running('[no-such-program-here, "{out}"]'),
    message: /the target made runs no-such-program-here: there is no such program on the PATH/,
  },
  'a script that is not there': {
    finds: ['program-missing'],
    breaks: running('[scripts/make.sh, "{out}"]'),
    message: /there is no such file/,
  },
  'a script that may not be executed': {
    finds: ['program-missing'],
    async breaks() {
      const project = await running('[scripts/make.sh, "{out}"]')();
      project.write('scripts/make.sh', '#!/bin/sh\n');
      return project;
    },
    remedy: /^`chmod \+x -- scripts\/make\.sh`$/,
  },
  'a script whose interpreter is nowhere': {
    finds: ['program-missing'],
    async breaks() {
      const project = await running('[scripts/make.py, "{out}"]')();
      project.write('scripts/make.py', '#!/usr/bin/env python9.9\n');
      chmodSync(project.path('scripts/make.py'), 0o755);
      return project;
    },
    message: /its first line asks for python9\.9/,
  },
  'a script that is all right': {
    finds: [],
    async breaks() {
      const project = await running('[scripts/make.sh, "{out}"]')();
      project.write('scripts/make.sh', '#!/bin/sh -e\n');
      chmodSync(project.path('scripts/make.sh'), 0o755);
      return project;
    },
  },
  'a factory without the package it needs': {
    finds: ['package-missing'],
    async breaks(project) {
      project.write(
        'pipeline.yaml',
        PIPELINE.replace('from: [reference]', 'from: [reference], with: {factory: HNSW8}'),
      );
      withoutFaissNode(project);
    },
    path: INDEX,
    remedy: /faiss-node is optional/,
  },
  'a file of somebody else where a reference is to be': {
    finds: ['build-blocked', 'reference-foreign'],
    async breaks() {
      const project = await withRun(PIPELINE);
      await project.writeRun('B/r1', { seed: 2 });
      await project.build();
      const text = JSON.parse(project.read(METADATA).toString()) as { sequences: object[] };
      project.write(METADATA, JSON.stringify({ sequences: text.sequences }));
      for (const name of ['cache/records.jsonl', INDEX]) project.remove(name);
      return project;
    },
    message: /^the next build would refuse reference: is there already and was not written by firn/,
    remedy: /`firn adopt` takes over/,
  },
  'a folder where a file is to be': {
    finds: ['build-blocked'],
    async breaks() {
      const project = await withRun(
        'targets:\n  made: {rule: command, run: [cp, a, "{out}"], out: made.txt}\n',
      );
      project.write('made.txt/inside', 'x');
      return project;
    },
    path: 'made.txt',
  },
  'a source that is gone': {
    finds: ['pipeline-invalid'],
    breaks: () =>
      withRun('targets:\n  made: {rule: command, from: a.txt, run: [cp, "{in}", "{out}"], out: made.txt}\n'),
    message: /nothing matches a\.txt/,
  },
  'a report that was edited': {
    finds: ['output-edited'],
    breaks: () => edited('longer than before\n'),
    path: 'made.txt',
    remedy: /`firn build made`/,
  },
  'a report that was edited and has the size it had': {
    finds: ['output-edited'],
    breaks: () => edited('nes\n'),
    args: ['--full'],
  },
  'a compressed copy that was put back after its original went: nothing is wrong': {
    finds: [],
    breaks: async (project) => {
      await project.firn('compress', '--execute', '--delete-original');
      await project.build();
    },
    args: ['--full'],
  },
  'the records are of a newer firn': {
    finds: ['cache-newer'],
    breaks: (project) =>
      rewriteLog(disk, project.path('cache/records.jsonl'), [{ firn: 'records', format: 99 }]),
    path: 'cache/records.jsonl',
    remedy: /`mv -- cache cache\.newer`/,
  },
  'a line of the records is cut': {
    finds: ['cache-damaged'],
    breaks: (project) =>
      project.write('cache/digests.jsonl', project.read('cache/digests.jsonl').subarray(0, -9)),
    path: 'cache/digests.jsonl',
  },
  'the records may not be read': {
    finds: ['cache-unreadable'],
    breaks: (project) =>
      lie(
        project,
        `const real = fs.openSync;
fs.openSync = (path, ...rest) => {
  if (!String(path).endsWith('records.jsonl')) return real(path, ...rest);
  throw Object.assign(new Error('EACCES'), { code: 'EACCES', syscall: 'open', path });
};`,
      ),
    path: 'cache/records.jsonl',
  },
  'a stored output was altered': {
    finds: ['cache-object'],
    breaks(project) {
      const folder = 'cache/objects';
      const [path] = readdirSync(project.path(folder), { recursive: true, encoding: 'utf8' }).filter(
        (name) => name.length > 40,
      );
      project.write(join(folder, path), 'x');
    },
    args: ['--full'],
    remedy: /^`rm -- cache\/objects\/../,
  },
  'more is stored than the limit': {
    finds: ['cache-full'],
    breaks: (project) => project.write('pipeline.yaml', `cache: {limit: 1kB}\n${PIPELINE}`),
    path: 'cache/objects',
  },
  'half a copy was left among stored outputs': {
    finds: ['temporary-left'],
    breaks: (project) => project.write('cache/objects/ab/.firn-tmp-0123456789ab', 'half'),
  },
  'a folder of a killed step was left': {
    finds: ['temporary-left'],
    breaks: (project) => project.write(`${REFERENCE}/.firn-0123456789ab-0123456789ab/x`, 'half'),
    path: `${REFERENCE}/.firn-0123456789ab-0123456789ab`,
  },
  'the lock is of another machine': {
    finds: ['lock-unknown'],
    breaks(project) {
      const holder = {
        host: 'node17',
        machine: 'm',
        boot: 'b',
        namespace: 'n',
        pid: 4711,
        started: '1',
        command: 'firn build',
      };
      project.write('cache/lock/0123456789abcdef.json', JSON.stringify(holder));
    },
    path: 'cache/lock',
    message: /^is held by firn build \(pid 4711 on node17, in another container or on another machine/,
    remedy: /`firn unlock --force`/,
  },
};

/** A report made by `cp`, edited afterwards. */
async function edited(content: string): Promise<TestProject> {
  const project = await withRun(
    'targets:\n  made: {rule: command, from: a.txt, run: [cp, "{in}", "{out}"], out: made.txt}\n',
  );
  project.write('a.txt', 'yes\n');
  await project.build();
  project.write('made.txt', content);
  return project;
}

for (const [what, broken] of Object.entries(CASES)) test(what, () => expectFindings(broken));

test('a build that works here, and one that was killed', async () => {
  const gate = await Gate.open();
  try {
    const project = new TestProject(`targets:
  made: {rule: command, from: in.txt, run: ${gate.command('made')}, out: out/a.txt}
`);
    await project.writeRun('A/r1');
    project.write('in.txt', '1');
    const { child, finished } = project.start('build');
    const visitor = await gate.next();
    await expectFindings({
      finds: ['lock-held'],
      breaks: () => project,
      path: 'cache/lock',
      message: /firn build \(pid \d+ on /,
    });
    child.kill('SIGKILL');
    process.kill(visitor.pid, 'SIGKILL');
    await finished;
    await expectFindings({
      finds: ['lock-left', 'temporary-left'],
      breaks: () => project,
      path: 'cache/lock',
      remedy: /The next `firn build` takes it over/,
    });
    const { findings } = await doctor(project);
    assert.match(
      findings.find(({ code }) => code === 'temporary-left')?.remedy ?? '',
      /The next `firn build` that does something removes it/,
    );
  } finally {
    gate.close();
  }
});

test('a build that was killed between deciding and renaming', async () => {
  const killer = fileURLToPath(new URL('rig/kill-at.js', import.meta.url));
  const project = new TestProject(
    'targets:\n  reference: {rule: consolidate, runs: all, out: data/reference}\n',
  );
  await project.writeRun('A/r1');
  const journal = 'cache/journal';
  for (let at = 1; ; at++) {
    const { signal, stderr } = spawnSync(process.execPath, [killer, project.root, String(at)], {
      encoding: 'utf8',
    });
    assert.is(signal, 'SIGKILL', stderr);
    if (project.exists(journal) && readdirSync(project.path(journal)).some((name) => !name.startsWith('.')))
      break;
  }
  await expectFindings({
    finds: ['commit-pending', 'lock-left'],
    breaks: () => project,
    message: /^reference is done, and a build that was killed/,
    remedy: /The next `firn build` completes it/,
  });
  mkdirSync(project.path(`${METADATA}/inside`), { recursive: true });
  const { findings } = await doctor(project);
  const pending = findings.find(({ code }) => code === 'commit-pending');
  assert.match(
    pending?.message ?? '',
    /a folder stands in the way: data\/reference\/consolidated_metadata\.json/,
  );
  assert.match(
    pending?.remedy ?? '',
    '`mv -- data/reference/consolidated_metadata.json data/reference/consolidated_metadata.json.away`',
  );
  renameSync(project.path(METADATA), project.path(`${METADATA}.away`));
  assert.is((await project.build()).failed, 0);
  await expectFindings({ finds: [], breaks: () => project });
});

test('records that are cut at any byte never stop it', async () => {
  const project = await healthyProject();
  const whole = project.read('cache/records.jsonl');
  assert.ok(readLog(disk, project.path('cache/records.jsonl')).entries.length > 2);
  for (let i = 1; i < 8; i++) {
    project.write('cache/records.jsonl', whole.subarray(0, Math.floor((whole.length * i) / 8)));
    const { findings } = await doctor(project);
    assert.equal(
      findings.filter(({ code }) => code !== 'cache-damaged'),
      [],
      `at ${i}/8`,
    );
  }
  project.write('cache/records.jsonl', whole);
  await settle(project);
});

test('a PATH that is not absolute is seen from the project, where programs are started', async () => {
  const project = new TestProject(
    'targets:\n  s: {rule: command, run: [own-tool, "{out}"], out: made.txt}\n',
  );
  project.write('bin/own-tool', '#!/bin/sh\ntouch "$1"\n');
  chmodSync(project.path('bin/own-tool'), 0o755);
  const elsewhere = new TestProject();
  elsewhere.env = { PATH: `bin:${process.env.PATH}` };
  const { stdout } = await elsewhere.firn('-C', project.root, 'doctor', 's', '--json');
  assert.not.match(stdout, 'program-missing');
  assert.is((await elsewhere.firn('-C', project.root, 'build')).code, 0);
});

test.run();
