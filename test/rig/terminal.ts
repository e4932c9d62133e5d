/** A pseudo-terminal, on which somebody waits for what is printed, types, and leaves. Python's `pty` stands in for it. */
import { spawn } from 'node:child_process';
import { PROGRAM, type TestProject } from './project.js';

/**
 * `expect`: waits until the project has that file. `see`: until that text was printed. `make`: makes it. `type`: what a key sends, such as Ctrl-C. `hang up`: the
 * window is closed. In the end the program is waited for.
 */
export type Act = { expect: string } | { see: string } | { make: string } | { type: string } | 'hang up';

export interface Typed {
  /** As a shell would see it. */
  code: number;
  /** All that came to the terminal. */
  bytes: string;
}

export const CTRL_C = '\u0003';

const DRIVER = `
import json, os, pty, select, sys, time
acts, argv = json.loads(sys.argv[1]), sys.argv[2:]
pid, fd = pty.fork()
if pid == 0: os.execvp(argv[0], argv)
data, status = b'', None
def read(wait):
    global data, fd
    if fd is None: return time.sleep(wait)
    if not select.select([fd], [], [], wait)[0]: return
    try: more = os.read(fd, 65536)
    except OSError: more = b''
    if more: data += more
    else: time.sleep(wait)
def ended():
    global status
    if status is None:
        done, code = os.waitpid(pid, os.WNOHANG)
        if done: status = os.waitstatus_to_exitcode(code)
    return status is not None
for act in acts:
    if act == 'hang up':
        os.close(fd)
        fd = None
    elif 'type' in act: os.write(fd, act['type'].encode())
    elif 'make' in act: open(act['make'], 'w').close()
    else:
        awaited = act.get('expect', act.get('see'))
        while not (os.path.exists(awaited) if 'expect' in act else awaited.encode() in data):
            if ended(): sys.exit('it ended before there was ' + awaited + ': ' + data.decode())
            read(0.01)
while not ended(): read(0.01)
if fd is not None: read(0)
print(json.dumps({'code': status, 'bytes': data.decode()}))
`;

/** Runs `firn` on a terminal of its own, and does these things there. Needs Python. */
export function onTerminal(project: TestProject, acts: readonly Act[], ...args: string[]): Promise<Typed> {
  return typedOnTerminal(project, acts, [process.execPath, PROGRAM, ...args]);
}

/** The same for any command. */
export function typedOnTerminal(
  project: TestProject,
  acts: readonly Act[],
  command: readonly string[],
): Promise<Typed> {
  const { CI: _ci, NO_COLOR: _noColor, ...env } = process.env;
  const child = spawn('/usr/bin/python3', ['-c', DRIVER, JSON.stringify(acts), ...command], {
    cwd: project.root,
    env: { ...env, TERM: 'xterm' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(JSON.parse(stdout) as Typed);
      else reject(new Error(stderr));
    });
  });
}
