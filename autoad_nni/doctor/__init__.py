"""What ``autoad-nni doctor`` looks at: packages, commands, NNI's servers, the machine, plugins. A file for each."""
