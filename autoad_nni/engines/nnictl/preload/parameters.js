// NNI hands the next parameters to whichever trial asks first, and those of a trial that died before it asked to the
// trial after it. Here each trial gets those that the table of jobs shows for it.
require('./first_load')('../training_service/v3/compat', ({ V3asV1 }) => {
  const { start } = V3asV1.prototype;
  V3asV1.prototype.start = function () {
    const send = this.v3.sendParameter.bind(this.v3);
    this.v3.sendParameter = (trial, next) => send(trial, this.trialJobs[trial]?.form.hyperParameters.value ?? next);
    return start.call(this);
  };
});
