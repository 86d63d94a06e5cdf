// Other machines that NNI's manager runs trials on, over SSH (trainingService: remote).
const { Module } = require('module');

const load = Module._load;
Module._load = function (request, ...rest) {
  const loaded = load.call(this, request, ...rest);
  if (request === 'ssh2') {
    Module._load = load;
    guard(loaded.Client.prototype);
  }
  return loaded;
};

function guard(client) {
  const { connect, exec } = client;
  client.connect = function (...words) {
    this.on('error', () => {}); // a connection that is lost later would end the manager
    return connect.apply(this, words);
  };
  client.exec = function (command, ...rest) {
    return exec.call(this, guarded(command), ...rest);
  };
}

// As NNI writes it, with a PATH="..." before it or not.
function guarded(command) {
  // It would ask the package registry at every start, and change what is installed there.
  const checked = command.replace(/ -m pip install nni --upgrade$/, ' -c "import nni, autoad_nni"');
  // What serves the trials there would listen on all interfaces, too.
  const launcher = /^(.*) -m nni\.tools\.nni_manager_scripts\.launch_trial_keeper /.exec(checked);
  return launcher ? `NODE_OPTIONS="$(${launcher[1]} -m autoad_nni.engines.nnictl.guard)" ${checked}` : checked;
}
