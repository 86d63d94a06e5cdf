// The TensorBoard that NNI's web UI starts would listen on all interfaces.
const processes = require('child_process');

const spawn = processes.spawn;
processes.spawn = function (command, words, ...rest) {
  // NNI writes two options into one word, for a shell.
  const here = command === 'tensorboard' ? words.map((word) => word.replace(/^--bind_all\b/, '--host=127.0.0.1')) : words;
  return spawn.call(this, command, here, ...rest);
};
