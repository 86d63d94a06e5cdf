// Changes a module of NNI's manager, by the words that NNI loads it with, when it is first loaded.
const { Module } = require('module');

const changes = new Map();
const load = Module._load;
Module._load = function (request, ...rest) {
  const loaded = load.call(this, request, ...rest);
  const change = changes.get(request);
  changes.delete(request);
  change?.(loaded);
  return loaded;
};

module.exports = (request, change) => changes.set(request, change);
