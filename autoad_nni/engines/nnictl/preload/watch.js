// A manager that `launch` started ends with it, however that ends, and does not wait for ever for a dispatcher that is
// gone. It ends as by `nnictl stop`: the search can be resumed.
const fs = require('fs');
const processes = require('child_process');

const PAUSE_MS = 2000;
const DISPATCHER_MS = 15000; // NNI reports itself after 10 seconds when a dispatcher never came up

const launch = process.env.AUTOAD_NNI_LAUNCH;
delete process.env.AUTOAD_NNI_LAUNCH; // neither the dispatcher nor trials are to end so
if (launch !== undefined) {
  watchLaunch(Number(launch));
  watchDispatcher();
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', () => {}); // the pipe to launch: closed, it would end the manager in the middle of something
  }
}

function watchLaunch(pid) {
  const began = beginning(pid);
  // In the foreground nnictl waits for the end, and would end this server.
  const words = process.argv;
  const nnictl = words[words.indexOf('--foreground') + 1] === 'true' ? process.ppid : null;
  const timer = setInterval(() => {
    if (began === null || beginning(pid) !== began || (nnictl !== null && process.ppid !== nnictl)) {
      clearInterval(timer);
      end();
    }
  }, PAUSE_MS);
  timer.unref();
}

function watchDispatcher() {
  const spawn = processes.spawn;
  processes.spawn = function (command, words, ...rest) {
    const child = spawn.call(this, command, words, ...rest);
    if (Array.isArray(words) && words.includes('--exp_params')) {
      child.on('exit', () => setTimeout(end, DISPATCHER_MS).unref());
    }
    return child;
  };
}

function end() {
  process.kill(process.pid, 'SIGTERM');
}

// When a process began, since numbers are used again; null if it is gone.
function beginning(pid) {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
    const words = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return words[0] === 'Z' ? null : words[19];
  } catch {
    // no such folder here, or no such process
  }
  try {
    process.kill(pid, 0);
    return '';
  } catch {
    return null;
  }
}
