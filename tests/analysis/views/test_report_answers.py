"""The report's first screen: what it answers in numbers and words."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.records import axes
from helpers.report_records import compared, run, sweep

from analysis.records.runs import STOPPED, UNFINISHED, RunRecord, Source, TrialRecord
from analysis.results.ranking import rank_source
from analysis.sweep.margin import Lead, measure_lead
from analysis.sweep.settings import make_views
from analysis.views.answers import make_answers, make_sweep_tiles
from analysis.views.noise import write_noise_sentences
from analysis.views.report import make_report_page
from rlhf_sweeps.verdicts.noise import Noise

# Under the judge of the samples, prompt i gains 2 - i.
JUDGED = "Judged by vader, {} is not distinguishable from the base policy (difference -1.5 {})"


def test_the_first_screen_says_that_constraints_are_broken() -> None:
    source = sweep()
    broken = [replace(trial, violations={"eval/length<=10": 2.0}) for trial in source.trials]
    source = replace(source, trials=broken)
    won = dict(make_answers(source, rank_source(source), [], []).answers)["Which setting is best?"]
    assert won[0].startswith("None: no trial with an objective is known to keep objective.constraints (")


def test_the_first_screen_answers_in_numbers() -> None:
    source = sweep()
    ranking = rank_source(source)
    questions = dict(make_answers(source, ranking, write_noise_sentences(ranking), ["do this"]).answers)
    assert list(questions) == ["Which setting is best?", "By how much?", "Is that more than noise?", "What next?"]
    assert questions["Which setting is best?"] == [
        "Trial 3 leads (not decided) with ppo.lr=0.0005012, ppo.kl_coef=0.02: its objective is 1.5",
        "this was measured after update 40, at a KL of 4 nats to the base policy",
        "The base policy scores 0.25 on the same held-out prompts",
    ]
    # 8 complete trials: 1.5, 1.25, 0.5, 0.499, 0.498, 0.491, 0.49, 0.489; the middle one is the fifth.
    assert questions["By how much?"] == [
        "0.25 better than the second, trial 4 (1.25)",
        "1 better than the middle one (0.498)",
        "1.01 better than the worst (0.489)",
        # Of the samples, prompt i gains i - 2: mean 1.5, deviation sqrt(6), 8 prompts: 1.5 -+ 4.029 sqrt(6 / 8), with
        # Student's quantile of 1 - 0.05 / 20 for the best of 10: two more were pruned.
        "at its best held-out score, trial 3 is not distinguishable from the base policy (difference 1.5 "
        "[-1.99, 4.99]; held-out score, 8 prompts, 1 seed, best of 10 settings)",
        JUDGED.format("trial 3", "[-4.99, 1.99]"),
    ]
    assert questions["Is that more than noise?"][0].startswith("Unknown: every setting ran on one seed")


def with_seeds(worths: list[list[float]], is_test: bool = False) -> Source:
    """A trial for each list, a run for each number; the first number alone chooses if the others are tests."""
    runs, trials = [], []
    for number, values in enumerate(worths):
        records = [
            replace(run(number, value, seed=seed, **{"ppo.lr": 10.0**-number}), name=f"{number}/seed_{seed}")
            for seed, value in enumerate(values)
        ]
        chosen, tests = (records[:1], records[1:]) if is_test else (records, [])
        tests = [replace(record, is_test=True) for record in tests]
        runs += [*chosen, *tests]
        worth = [float(np.mean([record.objectives for record in chosen]))]
        trials.append(TrialRecord(number, "complete", {"ppo.lr": f"1e-{number}"}, worth, runs=chosen, tests=tests))
    return Source("seeds", "sweep", runs, trials, space=axes({"ppo.lr": "choice(1,0.1)"}))


@pytest.mark.parametrize(
    ("worths", "start"),
    [
        ([[1.0, 1.01, 0.99], [0.5, 0.51, 0.49]], "Yes: Trial 0 is better than every other"),
        ([[1.0, 0.2, 0.6], [0.9, 0.3, 0.5]], "No: trial 1 is within noise of trial 0"),
        ([[1.0, 0.2, 0.6], [0.9, 0.3, 0.5], [-9.0, -9.1, -9.2]], "Not against all: trial 1 is within noise of trial 0"),
        ([[1.0, 0.2, 0.6], [0.9, 0.3, 0.5], [0.4]], "No: trial 1 is within noise of trial 0"),
        ([[0.5], [0.4]], "Unknown: every setting ran on one seed"),
    ],
)
def test_seeds_tell_noise(worths: list[list[float]], start: str) -> None:
    source = with_seeds(worths)
    assert write_noise_sentences(rank_source(source))[0].startswith(start)


def test_test_seeds_tell_noise_and_give_the_number_to_quote() -> None:
    # Test seeds 0.8 and 1.0: deviation 0.1414 with 1 degree of freedom; t of 97.5 % is 12.706, so the limit for the
    # difference of two single runs is 12.706 x 0.1414 x sqrt(2) = 2.541.
    near, far = with_seeds([[1.0, 0.8, 1.0], [0.9]], True), with_seeds([[4.0, 0.8, 1.0], [0.9]], True)
    said = write_noise_sentences(rank_source(near))[0]
    assert said.startswith("No: runs of one setting differ by 0.141 from seed to seed")
    assert "only a lead above 2.54 is more than noise" in said
    assert write_noise_sentences(rank_source(far))[0].startswith("Probably: runs of one setting differ by 0.141")
    told = dict(make_answers(near, rank_source(near), [], []).answers)["Which setting is best?"]
    quoted = "is 0.9 ± 0.1 (standard error) on 2 seeds that had no part in choosing it: this is the number to report"
    assert told[0].endswith(quoted)
    assert told[1].startswith("It was chosen by 1")


def test_gaps_to_the_seeds_that_choose_name_both_values() -> None:
    """The winner is worth 1.2 on its test seed, and 1.0 on the seed that chose it: 0.7 above the second's 0.3."""
    source = sweep_with_tests([[1.0], [0.3]], {0: [1.2]})
    gaps = dict(make_answers(source, rank_source(source), [], []).answers)["By how much?"]
    assert gaps[0] == "By the seeds that choose, trial 0 is 0.7 better (1) than the second, trial 1 (0.3)"


def sweep_with_tests(chose: list[list[float]], tested: dict[int, list[float]]) -> Source:
    """A trial for each list of runs on the seeds that choose, some of them with runs on test seeds."""
    source = with_seeds(chose)
    trials = []
    for trial in source.trials:
        worths = tested.get(trial.number, [])
        tests = [
            replace(
                run(trial.number, worth, seed=100 + place, **{"ppo.lr": 10.0**-trial.number}),
                name=f"test/{trial.number}_seed_{place}",
                is_test=True,
            )
            for place, worth in enumerate(worths)
        ]
        trials.append(replace(trial, tests=tests))
    return replace(source, trials=trials, runs=[one for trial in trials for one in (*trial.runs, *trial.tests)])


def test_test_seeds_tell_who_beats_whom_as_they_tell_who_is_best() -> None:
    # Trial 0 has been lucky on the seeds that chose. Tests: 2.6 less 1.1 is 1.5, with deviation 0.1 of three runs each.
    chose = [[3.0, 3.1, 3.05], [1.0, 1.1, 1.05], [0.5, 0.6, 0.55]]
    ranking = rank_source(sweep_with_tests(chose, {0: [1.0, 1.1, 1.2], 1: [2.5, 2.6, 2.7]}))
    told = dict(make_answers(Source("s", "sweep", []), ranking, write_noise_sentences(ranking), []).answers)
    assert told["Which setting is best?"][0].startswith("Trial 1 is the best (decided at 95 %) with ppo.lr=")
    assert told["By how much?"][0] == "1.5 better than the second, trial 0 (1.1 on the test seeds)"
    (said,) = told["Is that more than noise?"]
    assert said.startswith("Yes: Trial 1 is better than every other that ran on test seeds by more than seeds")
    assert "a run of the best beats a run of the second with probability 1 [" in said


def test_who_ran_on_test_seeds_alone_is_compared_by_these_and_of_others_nothing_is_said() -> None:
    ranking = rank_source(sweep_with_tests([[3.0], [1.0], [0.5]], {0: [0.9, 1.05, 1.1], 1: [2.0, 2.1, 2.2]}))
    (said,) = write_noise_sentences(ranking)
    assert said.startswith("Yes: Trial 1 is better than every other that ran on test seeds by more than seeds differ")
    ranking = rank_source(sweep_with_tests([[3.0], [1.0], [0.5]], {0: [0.9, 2.5, 1.1], 1: [2.0, 2.1, 2.2]}))
    said, *_, last = write_noise_sentences(ranking)
    assert said.startswith("No: trial 0 is within noise of trial 1")
    assert last == "Too few seeds to judge trial 2"


def test_one_noise_for_all_counts_the_runs_that_tell_two_settings_apart() -> None:
    (view,) = make_views(sweep_with_tests([[3.0], [1.0]], {0: [1.0, 1.1, 1.2, 1.3], 1: [2.0, 2.1, 2.2, 2.3]}))
    # Student's of 97.5 % with 10 degrees of freedom, 2.228, x 0.6 x sqrt(1/4 + 1/4) is 0.945, less than the lead of 1;
    # of single runs it were 1.89.
    found = measure_lead(view, Noise(0.2, 10.0, 0, True))
    assert found is not None
    assert found.sizes == [(4, 4)]
    one = Lead(found.ranked, found.gaps, found.are_tested, Noise(0.6, 10.0, 0, True), 0.945, None)
    assert one.rivals == []
    assert one.is_clear


def test_several_objectives_are_told_by_the_seeds_that_order_them() -> None:
    def both(number: int, values: list[tuple[float, float]], is_test: bool) -> list[RunRecord]:
        found = [run(number, seed=place + 100 * is_test, **{"ppo.lr": float(number)}) for place in range(len(values))]
        return [
            replace(
                one,
                name=f"{number}/{is_test}/{place}",
                is_test=is_test,
                summary={**one.summary, "objectives": list(values[place]), "base_score": 0.25},
            )
            for place, one in enumerate(found)
        ]

    worths = {0: ((1.0, 5.0), [(0.5, 6.0), (0.5, 6.1)]), 1: ((0.9, 3.0), [(0.8, 3.0), (0.81, 3.1)])}
    trials = [
        TrialRecord(i, "complete", {"ppo.lr": str(i)}, own, runs=both(i, [own], False), tests=both(i, tested, True))
        for i, (own, tested) in worths.items()
    ]
    runs = [one for trial in trials for one in (*trial.runs, *trial.tests)]
    source = Source("two", "sweep", runs, trials, ("eval/score", "eval/kl"), ("maximize", "minimize"))
    ranking = rank_source(source)
    told = dict(make_answers(source, ranking, write_noise_sentences(ranking), []).answers)
    assert told["Which setting is best?"][1:3] == [
        "Trial 0 has the best eval/score with ppo.lr=0: its eval/score is 1",
        "Its eval/score on test seeds is 0.5 on 2 seeds; with several objectives, test seeds do not change the order",
    ]
    assert told["By how much?"] == [
        "By eval/score alone: 0.1 better than the second, trial 1 (0.9)",
        "at its best held-out score, trial 0 is not distinguishable from the base policy (difference 1.5 "
        "[-0.961, 3.96]; held-out score, 8 prompts, 2 seeds, best of 2 settings)",
        JUDGED.format("trial 0", "[-3.96, 0.961]"),
    ]
    assert "the lead is 0.1" in told["Is that more than noise?"][0]
    assert ("Best eval/score", "1", "base policy: 0.25") in make_sweep_tiles(source, ranking).tiles


@pytest.mark.parametrize(
    ("direction", "said"),
    [("maximize", "0.3 worse than the base policy"), ("minimize", "0.4 better than the base policy")],
)
def test_who_is_worse_than_the_base_policy_is_said_to_be(direction: str, said: str) -> None:
    made = with_seeds([[0.2], [0.1]])
    trials = [
        replace(
            trial,
            runs=[replace(one, summary={**one.summary, "base_score": 0.5}, read_samples=list) for one in trial.runs],
        )
        for trial in made.trials
    ]
    source = replace(made, trials=trials, directions=(direction,))
    assert dict(make_answers(source, rank_source(source), [], []).answers)["By how much?"][-1] == (
        f"{said}; without samples it is unknown whether that is more than noise"
    )


def test_a_run_alone_is_compared_with_the_base_policy_also_before_its_end() -> None:
    judged = JUDGED.format("run 7", "[-3.55, 0.548]")
    sentence = "not distinguishable from the base policy (difference 1.5 [-0.548, 3.55]; held-out score, 8 prompts, "
    sentence += "1 seed)"
    ended, unfinished = run(7), replace(run(7, state=UNFINISHED), trial=None)
    alone = Source("alone", "run", [replace(ended, trial=None)])
    (lines,) = [lines for _, lines in make_answers(alone, rank_source(alone), [], []).answers]
    assert lines[-2:] == [f"at its best held-out score, run 7 is {sentence}", judged]
    begun = Source("begun", "run", [unfinished])
    answers = dict(make_answers(begun, rank_source(begun), [], []).answers)
    assert answers["What came out?"][-2] == f"at its best held-out score, run 7 is {sentence}"


def test_a_policy_beyond_the_budget_is_no_success() -> None:
    never = {**run(7).summary, "best": None, "last": {"update": 40, "score": 1.0, "kl": 40.0}}
    source = Source("never", "run", [replace(run(7), trial=None, summary=never)])
    config = {**source.runs[0].config, "objective.kl_budget": 15.0}
    source = replace(source, runs=[replace(source.runs[0], config=config)])
    (lines,) = [lines for _, lines in make_answers(source, rank_source(source), [], []).answers]
    assert lines[-1].startswith("run 7: no policy within the KL budget; the last one (KL 40 > 15) is not ")


def test_a_test_run_that_waits_is_not_quoted_and_equal_ones_are_not_certain() -> None:
    def quoted(source: Source) -> str:
        return dict(make_answers(source, rank_source(source), [], []).answers)["Which setting is best?"][0]

    made = with_seeds([[1.0, 0.75, 0.75, 9.0], [0.9]], is_test=True)
    best, other = made.trials
    waiting = replace(best.tests[2], state=STOPPED, summary={**best.tests[2].summary, "stop_reason": "waiting"})
    source = replace(made, trials=[replace(best, tests=[*best.tests[:2], waiting]), other])
    assert "is 0.75 on 2 seeds that had no part in choosing it: this is the number" in quoted(source)
    assert write_noise_sentences(rank_source(source))[0] == "Unknown: the seeds of a setting are all alike"


def test_what_is_minimized_is_won_by_the_lowest() -> None:
    source = replace(sweep(), directions=("minimize",))
    ranking = rank_source(source)
    assert ranking.best is not None
    assert ranking.best.name == "11"
    assert "0.001 better than the second" in dict(make_answers(source, ranking, [], []).answers)["By how much?"][0]


def test_the_best_was_chosen_from_all_settings_that_came_to_a_value() -> None:
    """As a sweep counts them: with those that break a constraint, and each setting once."""
    source = sweep()  # 8 complete trials, 2 pruned
    assert rank_source(source).num_candidates == 10
    broken = [replace(t, violations={"eval/length<=40": 2.0}) if t.number == 4 else t for t in source.trials]
    assert rank_source(replace(source, trials=broken)).num_candidates == 10
    (first, *_), pruned = source.trials, next(t for t in source.trials if t.state == "pruned")
    again = [replace(t, settings=first.settings) if t is pruned else t for t in source.trials]
    assert rank_source(replace(source, trials=again)).num_candidates == 9


def test_a_trial_that_breaks_a_constraint_does_not_win() -> None:
    source = sweep()
    trials = [replace(t, violations={"eval/length<=40": 2.0}) if t.number == 3 else t for t in source.trials]
    ranking = rank_source(replace(source, trials=trials))
    assert ranking.best is not None
    assert ranking.best.name == "4"


def test_several_objectives_have_a_front() -> None:
    points = {0: (1.0, 5.0), 1: (0.5, 1.0), 2: (0.4, 2.0)}  # score up, KL down: 2 is worse than 1 in both
    trials = [TrialRecord(i, "complete", {"ppo.lr": str(i)}, values, runs=[run(i)]) for i, values in points.items()]
    source = Source(
        "two", "sweep", [r for t in trials for r in t.runs], trials, ("eval/score", "eval/kl"), ("maximize", "minimize")
    )
    (said,) = [
        line
        for line in dict(make_answers(source, rank_source(source), [], []).answers)["Which setting is best?"]
        if "By " in line
    ]
    assert "2 are on the Pareto front, where no other beats them in all: Trial 0 and Trial 1" in said


def test_trials_that_differ_in_their_seed_only_are_one_setting() -> None:
    runs = [run(i, worth, seed=i % 2) for i, worth in enumerate((1.0, 0.0, 0.7, 0.6))]
    trials = [
        TrialRecord(i, "complete", {"ppo.lr": "1" if i < 2 else "2", "seed": str(i % 2)}, r.objectives, runs=[r])
        for i, r in enumerate(runs)
    ]
    ranking = rank_source(
        Source("seeds", "sweep", runs, trials, space=axes({"ppo.lr": "choice(1,2)", "seed": "choice(0,1)"}))
    )
    assert [(entry.title, entry.worth) for entry in ranking.ranked] == [
        ("Trials 2 and 3", pytest.approx(0.65)),
        ("Trials 0 and 1", 0.5),
    ]


def test_of_a_setting_with_several_trials_it_is_said_in_the_plural() -> None:
    """One trial for each seed: of two settings that overlap, and of two with nothing in common, three seeds each."""
    for worths, told in (
        ([1.0, 0.2, 0.6, 0.9, 0.3, 0.5], "No: trials 3, 4 and 5 are within noise of trials 0, 1 and 2"),
        ([1.0, 1.1, 1.2, 0.1, 0.2, 0.3], "Yes: Trials 0, 1 and 2 are better than every other"),
    ):
        runs = [run(k, worth, seed=k % 3, **{"ppo.lr": 10.0 ** -(k // 3)}) for k, worth in enumerate(worths)]
        trials = [
            TrialRecord(k, "complete", {"ppo.lr": f"1e-{k // 3}", "seed": str(k % 3)}, [worths[k]], runs=[one])
            for k, one in enumerate(runs)
        ]
        space = axes({"ppo.lr": "choice(1,0.1)", "seed": "choice(0,1,2)"})
        assert write_noise_sentences(rank_source(Source("seeds", "sweep", runs, trials, space=space)))[0].startswith(
            told
        )


def test_a_reward_model_wins_by_other_judges_not_by_its_own_score() -> None:
    source = compared()
    ranking = rank_source(source)
    assert ranking.best is not None
    assert ranking.best.settings == {"reward_model": "judged"}
    assert not ranking.is_comparable
    assert "Win rate of each policy under each judge" in make_report_page(source)
