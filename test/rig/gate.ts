/**
 * Commands that ask the test what to do: each connects to a socket, says who it is, and ends when it is told to. So a
 * test decides when a step ends, knows that it has started, and counts how often it ran, without any clock.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A command that has started and waits. */
export interface Visitor {
  name: string;
  pid: number;
  /** Tells it to write `text` to all its outputs, and to end; or to end at once with another exit code. */
  go(text: string, exit?: number): void;
}

export class Gate {
  /** Names of all that came, in order. */
  readonly visits: string[] = [];
  private readonly folder = mkdtempSync(join(tmpdir(), 'firn-gate-'));
  private readonly arrived: Visitor[] = [];
  private readonly awaited: ((visitor: Visitor) => void)[] = [];
  private readonly server: Server = createServer((socket) => this.welcome(socket));

  static async open(): Promise<Gate> {
    const gate = new Gate();
    await new Promise<void>((resolve) => gate.server.listen(gate.socket, resolve));
    return gate;
  }

  private get socket(): string {
    return join(this.folder, 's');
  }

  private welcome(socket: Socket): void {
    // A killed command resets its connection; that is what the test wanted.
    socket.on('error', () => undefined);
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
      if (!text.endsWith('\n')) return;
      const { name, pid } = JSON.parse(text) as { name: string; pid: number };
      text = '';
      this.visits.push(name);
      const visitor: Visitor = {
        name,
        pid,
        go: (content, exit = 0) => socket.end(JSON.stringify({ content, exit })),
      };
      const next = this.awaited.shift();
      if (next === undefined) this.arrived.push(visitor);
      else next(visitor);
    });
  }

  /** The next command that starts, or has started and was not asked for yet. */
  next(): Promise<Visitor> {
    const visitor = this.arrived.shift();
    return visitor === undefined
      ? new Promise((resolve) => this.awaited.push(resolve))
      : Promise.resolve(visitor);
  }

  /** For `run:` in pipeline.yaml, as a flow sequence. */
  command(name: string): string {
    return `[${JSON.stringify(process.execPath)}, -e, ${JSON.stringify(COMMAND)}, ${JSON.stringify(this.socket)}, ${name}, "{out}"]`;
  }

  close(): void {
    this.server.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Each output is begun at once, and is complete only when the command ends well. Braces are doubled for pipeline.yaml. */
const COMMAND = `
const net = require("net"), fs = require("fs");
const [socket, name, ...outputs] = process.argv.slice(1);
for (const path of outputs) fs.writeFileSync(path, "half");
let answer = "";
const door = net.connect(socket, () => door.write(JSON.stringify({name, pid: process.pid}) + "\\n"));
door.on("data", (chunk) => (answer += chunk));
door.on("end", () => {
  const {content, exit} = JSON.parse(answer);
  if (exit === 0) for (const path of outputs) fs.writeFileSync(path, content);
  process.exit(exit);
});
`
  .replaceAll('\n', ' ')
  .replaceAll('{', '{{')
  .replaceAll('}', '}}');
