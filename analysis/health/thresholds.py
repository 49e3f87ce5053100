"""The limits of the rules of health, in one place; how many updates a rule needs stands in the rule, and is chosen.

They were chosen on the recorded runs of the embedded model in tests/helpers/health_records; a line that names sound
runs has the figure of those in which nothing is wrong. The README.md there has the rates of false alarms with these
limits, and tests/analysis/health/test_health_false_alarms.py counts them again. The limits on KL and entropy are in
rlhf_sweeps/verdicts/policy.py.
"""

# All rules.
FEWEST_UPDATES = 10  # recorded updates, below which silence says nothing, since most rules need about as many; chosen

# Learning.
SAME_SCORES = 1e-6  # standard deviation of a batch's scores over their size, at or below which they are the same
SPREAD_LEFT = 0.01  # of the standard deviation of scores at the start; sound runs: 0.09 and more
STILL_KL = 0.01  # nats of a response, up to which the policy has not moved
STILL_ERRORS = 4.0  # standard errors up to which a change in score may be noise, also that of the best stretch
SPENT_KL = 3.0  # nats of a response that should have raised the score
GAIN_SPREAD = 0.1  # of the standard deviation of scores at the start, a gain that is worth nothing
GAIN_ERRORS = 2.0  # standard errors, up to which a gain after so much KL counts as none
FALL_ERRORS = 5.0  # standard errors of a fall after the peak, more than elsewhere since the peak is looked for
FALL_SPREAD = 0.25  # of the standard deviation of a batch's scores, that a fall after the peak is at least
ALIKE_ERRORS = 1.5  # standard errors up to which stretches are alike, so that the best of them is the best by chance
GAIN_LOST = 0.4  # of the gain so far, which a fall after the peak loses at least

FLAT_UPDATES = 20  # updates, from which a score that has not risen is a finding; chosen

# Answers.
LONGER = 2.0  # times the length at the start; sound runs: up to 1.25
SHORTER = 0.4  # times the length at the start; sound runs: 0.9 and more
GROWTH_BEGINS = 1.25  # times the length at the start: where a growth that goes that far has begun
MARKED = 0.97  # share of the answers with a marker at the end; sound runs: up to 0.94
UNMARKED = 0.6  # share of the answers with a marker before
MARKED_UNSEEN = 0.75  # share at the end where the judges see no gain
MARKER_RISE = 0.4  # rise of that share where the judges see no gain
CUT = 0.4  # share of the answers that are cut at the length limit; sound runs: up to 0.12
CUT_RISE = 0.15  # rise of that share over a run
CUT_LATE = 0.25  # share at the end of a run in which it rises

ALL_CUT = 0.95  # share of the answers that are cut, which is found after the first update already
PHRASE_WORDS = 4  # words of a phrase, which lies within a sentence
PHRASE_SHARE = 0.5  # of the answers that have the same phrase; sound runs: up to 0.41
PHRASE_RISE = 0.3  # by which that share is above the base policy's; chosen
DISTINCT_LEFT = 0.5  # of the base policy's share of distinct phrases; sound runs: 0.78 and more
FEWEST_ANSWERS = 20  # answers of an evaluation, below which a phrase may be frequent by chance

# Reward hacking.
SURE = 3.5  # standard errors of a change that is more than noise
LEAST_FALL = 0.12  # of a win rate
SCORE_SURE = 4.5  # the same for a judge whose scores alone are known: their noise is estimated, too
NAMED_FALL = 0.05  # of a judge's best value (at least of 1), from which the sentence says that it falls
NAMED_RISE = 0.3  # of the share of answers with a marker, from which a finding on the judges names the marker
USUAL_PROMPTS = 100.0  # held-out prompts where the config does not say how many
OWN_WINS = 0.75  # own win rate of which other reward models should see a part

# The optimizer.
LARGE_APPROXKL = 0.3  # nats a token, mean over a window; sound runs: up to 0.17, runs that broke: 0.4 and more
CLIPPED = 0.15  # share of the tokens in the median update; sound runs: up to 0.03, clip_range=0.001: 0.20
UNCLIPPED = 1e-5  # share of the tokens up to which nothing is clipped
MOVES = 5e-4  # approxkl, nats a token, from which sound runs clipped 0.4 % and more
MOVES_FAR = 0.002  # approxkl, nats a token, from which the next limit holds
CLIPPED_PER_MOVE = 0.025  # share clipped over the root of approxkl; sound runs: 0.1 and more, clip_range=0.99: 0.02
NEARLY_ALL = 0.95  # of the updates, in which nothing is clipped if nothing ever is
MOVED_KL = 0.1  # nats of a response, from which the policy has moved where approxkl is not recorded
NARROW_RANGE = 0.1  # ppo.clip_range, below which the advice is to raise it
SINGLE_STEP = 1e-8  # approxkl, nats a token, of updates of one step, before which nothing has moved
GRADIENT_GROWTH = 10.0  # times the norm before; sound runs: up to 2.5
LOSS_GROWTH = 10.0  # times the loss before; sound runs: up to 2.5
EXPLAINED = 0.03  # share of the returns' variance; sound runs explained 0.18 and more over some stretch
EXPLAINED_LOST = 0.15  # the same where it was more before; sound runs kept 0.27 of the first and more
EXPLAINED_KEPT = 0.4  # of the best share so far, up to which it is lost
LEAST_LOST = 0.2  # of the updates, in which it has to be lost
LEAST_VARIANCE = 0.25  # of the rewards' variance at the start, from which an update counts
LEAST_COUNTED = 0.6  # of the updates, which have to count for a verdict over the whole run
WORSE = 0.1  # share of the variance below 0, from which the sentence says that values are worse than a constant

# KL.
MISSED_TARGET = 2.0  # times ppo.kl_target

UNTRAINED_KL = 0.05  # nats of a response before the first step; sound runs: 2e-5 and less, the published run: 0.069
UNTRAINED_TOKEN_KL = 0.002  # the same for a token, as rounding in bfloat16 may differ; chosen

# Causes: settings and what they do; sound runs are those of the embedded model.
VALUE_NORM = 2.0  # times ppo.max_grad_norm, of a shared trunk's gradient; sound runs: 1.3, ppo.vf_coef=20: 11
VALUE_SHARE = 1.0  # of that norm, which the value head's has; sound runs: 0.1, ppo.vf_coef=20: 4
WIDE_SCORES = 10.0  # standard deviation of the scores, from which their scale is blamed; chosen
HIGH_VALUE_LR_TIMES = 20.0  # times the default of ppo.value_lr; chosen
LOW_VALUE_LR_TIMES = 0.05  # times the default of ppo.value_lr; ppo=n_details has 0.1 of it, chosen
WIDE_RANGE = 0.5  # ppo.clip_range; 0.1 to 0.3 are usual, chosen
LOOSE_PER_MOVE = 0.06  # share clipped over the root of approxkl; sound runs: 0.1 and more, ppo.clip_range=0.9: 0.036
STILL_LARGE = 0.05  # approxkl at the end, nats a token; sound runs: up to 0.003, a constant rate: 0.17
MANY_PASSES = 8  # ppo.num_ppo_epochs, from which they are blamed; chosen
MANY_STEPS = 32  # of the optimizer in an update; 8 by default, chosen
USUAL_PASSES = 4  # ppo.num_ppo_epochs, up to which they are usual
HIGH_LR_TIMES = 3.0  # times the model's suggested rate; at 2 times runs were sound, at 4 times they broke
LORA_LR_TIMES = 10.0  # times that rate, which adapters need
HIGH_ENTROPY_GROWTH = 1.5  # times the entropy at the start; sound runs: up to 1.2
STRONG_BONUS = 2.0  # times the policy's loss; ppo.entropy_coef=0.01 gives about 0.5
WARM = 1.5  # ppo.temperature; chosen
NOISE_ENTROPY = 2.5  # nats of a token; sound runs: 0.3 to 1.2, the embedded model at ppo.temperature=2: 3.6
COOL = 0.3  # ppo.temperature; at 0.7 a run was sound, chosen
NO_PRICE = 0.1  # of the deviation of scores, which the KL at the end costs; chosen
DEAR_NAT = 1.0  # times the deviation of scores, which a nat costs; ppo.kl_coef=0.5 (0.27 times) was sound, 5 was not
LOW_LR_TIMES = 0.1  # times the model's suggested rate; chosen
STEPS_LEFT = 0.5  # of the passes, which ppo.target_kl leaves; chosen
TINY_NORM = 1e-3  # ppo.max_grad_norm; chosen
USUAL_NORM = 1  # ppo.max_grad_norm, the default
USUAL_EPS = 1e-4  # ppo.adam_eps; chosen
LITTLE_CREDIT = 0.1  # of the score, which reaches the middle of an answer; chosen
LITTLE_GAIN = 0.25  # of the deviation of scores; sound runs gained 0.45 and more
LOW_LAMBDA = 0.5  # ppo.gae_lambda; 0.9 to 1 is usual, chosen
FEW_ANSWERS = 8  # ppo.batch_size, up to which it is blamed in a sick run; at 8 a run went beyond its KL budget
VERY_FEW_ANSWERS = 4  # ppo.batch_size, up to which it is blamed for an uncertain gain; chosen
NOISY_ERRORS = 6.0  # standard errors of a gain, up to which so few answers are blamed without another finding; chosen
NOISY_SCORE = 0.3  # of the deviation of scores, as noise of their mean over a batch: that of 4 answers is 0.5

# Patterns.
PATTERN_LEVEL = 0.05  # p value, corrected for all tests
