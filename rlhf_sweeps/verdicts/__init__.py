"""The words that a user reads about noise, about the best, and about a policy: a definition and a threshold for each.

Sweeps and the analysis import this room. It loads no torch, knows no type of the analysis, and writes no sentence.

Words about groups and settings. At most 5 % of sweeps in which nothing differs get any false claim in the analysis of
the sweep (`error_rate`). The false alarms were measured on families of groups that do not differ (test_crossed.py,
test_pair_false_alarms.py, test_blocks.py, test_other_prompts.py, test_false_claims.py):

    leads                the highest mean, as long as it is not decided
    decided at 95 %      better than every other, by a test of each pair alone with p <= 0.05
    within noise         p > 0.05 after Holm over all pairs, with a share of 0.4 of the rate of all claims. The test
                         uses prompts and seeds where the record has the outcome of each prompt (`crossed`: false alarms
                         in 1 to 5 % of families); else runs, seed by seed where settings have the same seeds
                         (`blocks`), and otherwise their means (`pairs`: 0.1 to 5.1 %; 7 % where the groups' noise and
                         sizes are very unequal). By runs it holds for other prompts where the objective is the
                         held-out score and the record has it by prompt (`other_prompts`), and elsewhere for the same
                         ones. For settings with one run each: a lead below Student's 95 % margin (`noise`)
    better               p <= 0.05 by the same tests, with at least two seeds of each group
    cannot tell          nothing shows how much seeds differ, and the prompts alone do not make it noise
    worse in the settings that both have
                         p <= 0.05 there, although its value over all of its settings is better
    to report            what a setting chosen in this way comes to on a seed that did not choose it, each seed left out
                         in turn (`left_out_seeds`)
    best                 the highest mean of the first objective over seeds, among the settings that keep all
                         constraints; the mean over test seeds, where settings were run on test seeds

Words about a run's KL, in nats of a whole response, and about its entropy. Each state has to last (see `series`). At
most 1 % of sound runs get any of the bad words, and 2.4 % of those with fewer than 20 updates
(test_health_false_alarms.py):

    blow-up              above the least of 2 budgets, 1 nat a token and 100 nats; above 50 nats where neither budget
                         nor length is known; or above 10 times its earlier level and above 0.2 nats, without a gain in
                         score, unless the record names a budget and the KL is within it
    negative             below -0.1 nats, and at the end by at least 5 standard errors
    over the budget      above 1 budget in training, or in every evaluation, or in all evaluations since the middle of
                         the run; where the budget is unknown, the usual one of 15 nats counts
    close to the budget  none of these, and above 0.8 budgets at the end
    under control        none of these, and at or below 0.8 budgets at the end
    collapse             entropy of a token below 0.25 times its value at the start; below 0.125 times where only sums
                         over responses of unknown length are recorded
    rise                 entropy of a token above 2.5 times its value at the start, and still so at the end

Words about a curve (test_phases.py: false alarms in 0 to 4 % of curves without a phase; in 1 to 8 % where the noise is
autocorrelated, 0.5; in 2 to 4 % where it grows fivefold; in 4 to 14 % where it quadruples at once):

    no trend             a change that pure noise makes with a probability above 0.005, or that is below 0.1 of the
                         curve's range
"""
