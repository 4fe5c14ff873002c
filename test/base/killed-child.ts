// Runs a child that prints a number per durable step until it is killed: by itself at a failpoint, or by us. For tests of recovery.
import { expect } from "bun:test";

/**
 * Starts `script` (a path) with `args` and gives the last number that it printed whole, 0 for none. With `killAfterLines` it is killed
 * as soon as it has printed that many, at whatever it is doing then; without, it must end itself by SIGKILL.
 */
export async function runUntilKilled(
  script: string,
  args: readonly string[],
  killAfterLines?: number,
): Promise<number> {
  const child = Bun.spawn([process.execPath, "--no-install", script, ...args], {
    stdout: "pipe",
    stderr: "pipe",
  });
  const decoder = new TextDecoder();
  let output = "";
  for await (const bytes of child.stdout) {
    output += decoder.decode(bytes, { stream: true });
    if (killAfterLines !== undefined && output.split("\n").length > killAfterLines)
      child.kill("SIGKILL");
  }
  const errors = await new Response(child.stderr).text();
  await child.exited;
  expect([child.signalCode, errors]).toEqual(["SIGKILL", ""]);
  // the last line may be cut by the kill
  const whole = output.slice(0, output.lastIndexOf("\n") + 1).trim();
  return Number(whole.split("\n").at(-1) ?? 0);
}
