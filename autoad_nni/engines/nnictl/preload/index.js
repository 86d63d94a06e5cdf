// Preloaded into NNI's manager (NODE_OPTIONS=--require), which listens on all interfaces and answers whoever connects.
require('./listen');
require('./callers');
require('./tensorboard');
require('./parameters');
require('./remote');
require('./watch');
