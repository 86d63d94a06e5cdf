// Other machines that NNI's manager runs trials on, over SSH (trainingService: remote).
require('./first_load')('ssh2', ({ Client }) => {
  const { connect, exec } = Client.prototype;
  Client.prototype.connect = function (...words) {
    this.on('error', () => {}); // a connection that is lost later would end the manager
    return connect.apply(this, words);
  };
  Client.prototype.exec = function (command, ...rest) {
    return exec.call(this, guarded(command), ...rest);
  };
});

// Commands as NNI writes them, with a PATH="..." in front or without.
function guarded(command) {
  // NNI would ask the package registry at every start, and change what is installed there.
  const checked = command.replace(/ -m pip install nni --upgrade$/, ' -c "import nni, autoad_nni"');
  // What serves the trials there would listen on all interfaces, too.
  const launcher = /^(.*) -m nni\.tools\.nni_manager_scripts\.launch_trial_keeper /.exec(checked);
  return launcher ? `NODE_OPTIONS="$(${launcher[1]} -m autoad_nni.engines.nnictl.guard)" ${checked}` : checked;
}
