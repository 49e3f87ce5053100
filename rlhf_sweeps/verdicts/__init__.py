"""What is said to a user of noise, of the best, and of a policy: one definition and one threshold for each word.

Both halves import it; it loads no torch, knows no run of the analysis, and writes no sentence.

Of groups and settings. False alarms are of families that do not differ (test_crossed.py, test_pair_false_alarms.py):

    within noise         p > 0.05 after Holm over all pairs: by prompt and seed where outcomes are there (`crossed`: 1
                         to 5 % of families), else by the runs (`pairs`: 5 % at most, of other seeds on the same
                         prompts); of settings with one run each a lead below Student's 95 % margin (`noise`)
    better               p <= 0.05 by the same test, with two seeds of each at least
    cannot tell          nothing shows how much seeds differ, and prompts alone would not make it noise
    worse in the settings that both have
                         p <= 0.05 there, although it has the better value over all of its settings
    best                 the highest mean of the first objective over seeds, among the settings that keep all
                         constraints; on the test seeds, where settings were run on any

Of a run's KL, in nats of a whole response, and of its entropy. Each state has to last (`series`). Of sound runs 1 % at
most is called ill in any way (test_health_false_alarms.py):

    blow-up              above 2 budgets, 1 nat a token or 100 nats, whichever is least; 50 nats where neither budget
                         nor length is known; or above 10 times what it was, and 0.2 nats, without a gain in score
    negative             below -0.1 nats, and at the end by 5 standard errors
    over the budget      above 1 budget in training, or in every evaluation, or in all since the middle of the run; the
                         usual one of 15 nats where nothing tells
    close to the budget  none of these, and above 0.8 budgets at the end
    under control        none of these, and at or below 0.8 budgets at the end
    collapse             entropy of a token below 0.25 times that of the start
    rise                 entropy of a token above 2.5 times that of the start, at the end, too

Of a curve (test_phases.py: 0 to 4 % of those without any phase, but for noise that remembers or grows):

    no trend             a change that pure noise makes with a chance above 0.005, or less than 0.1 of the curve's range
"""
