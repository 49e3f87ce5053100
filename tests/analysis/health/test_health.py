"""Each sickness in mild to strong form, found where it begins, and what is none."""

import numpy as np
import pytest
from helpers.health_runs import UPDATES, found, run, sound, step
from helpers.health_sicknesses import SICKNESSES

from analysis.health.causes import CAUSES
from analysis.health.findings import diagnose_run
from analysis.health.learning import NO_LEARNING
from analysis.records.runs import DIVERGED, FAILED, RunRecord

NUM_RUNS = 12


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("kind", SICKNESSES)
def test_sick_runs_are_found_where_it_begins(kind: str, strength: float) -> None:
    make, begins_there = SICKNESSES[kind]
    missed, off = [], []
    for seed in range(NUM_RUNS):
        rng = np.random.default_rng(seed)
        num, start = int(np.exp(rng.uniform(np.log(30), np.log(1000)))), rng.uniform(0.1, 0.6)
        made = sound(20_000 + seed, num)
        make(made, start, strength)
        findings = found(made.record())
        # A cause that is named says that nothing was learned; it is no finding of its own then.
        causes = [findings[cause] for cause in CAUSES if cause in findings and kind == NO_LEARNING]
        finding = next(iter(causes), findings.get(kind))
        if finding is None:
            missed.append(seed)
        elif begins_there:
            assert finding.update is not None
            off.append(abs((finding.update - 1) / (num - 1) - start))
    assert len(missed) <= 1, missed
    # In shares of the run; evaluations are a sixth of a short one apart, and a sickness takes time to come.
    assert not off or (np.median(off) < 0.12 and np.max(off) < 0.3), off


def test_kl_limit_is_twice_the_budget_or_a_nat_a_token() -> None:
    budget = {"objective.kl_budget": 15.0}
    assert found(run(budget, objective__kl=step(5, 31, 41)))["KL blow-up"].update == 41
    assert not diagnose_run(run(budget, objective__kl=step(5, 29, 41)))
    assert found(run(objective__kl=step(5, 13, 41), objective__length=12.0))["KL blow-up"].update == 41
    assert not diagnose_run(run(objective__kl=step(5, 11, 41), objective__length=12.0))
    assert not diagnose_run(run(objective__kl=step(5, 45, 41), objective__length=300.0))


def test_kl_of_unknown_unit_blows_up_relative_to_what_it_was() -> None:
    kl = 0.05 + step(0, 1.5, 61)
    assert found(run(objective__kl=kl, objective__rlhf_reward=step(1, 0.2, 61)))["KL blow-up"].update == 61
    # Slow learning looks the same, but has something to show for it.
    assert "KL blow-up" not in found(run(objective__kl=kl, objective__rlhf_reward=step(1, 2, 61)))


def test_a_kl_that_comes_back_at_once_is_no_finding() -> None:
    kl = np.full(100, 5.0)
    kl[40:45] = 60.0
    assert not diagnose_run(run(objective__kl=kl, objective__length=25.0))


def test_budget_counts_for_evaluations() -> None:
    config = {"objective.kl_budget": 15.0}
    every = UPDATES % 10 == 0
    over = found(run(config, eval__kl=np.where(every, step(10, 16, 31), np.nan)))
    assert over["over the KL budget"].update == 40
    never = found(run(config, eval__kl=np.where(every, 20.0, np.nan)))
    assert never["never within the KL budget"].evidence["lowest KL"] == 20.0
    late = run(config, eval__kl=np.where(every, step(10, 16, 81), np.nan))
    assert not diagnose_run(late)
    assert not diagnose_run(run({"objective.kl_budget": None}, eval__kl=np.where(every, 20.0, np.nan)))


def test_the_controllers_target_is_missed() -> None:
    config = {"ppo.kl_target": 6.0}
    assert found(run(config, objective__kl=step(5, 13, 31)))["KL target missed"].update == 31
    assert not diagnose_run(run(config, objective__kl=step(5, 8, 31)))


def test_trls_faults_are_no_findings() -> None:
    # Two minibatches of which one slot in two stays empty, and padding that is taken off the summed entropy.
    record = run(
        val__ratio=0.5,
        policy__clipfrac_avg=0.01,
        policy__approxkl_avg=0.001,
        objective__entropy=np.linspace(30, -60, 100),
        val__num_eos_tokens=step(40, 400, 30),
    )
    assert not diagnose_run(record)
    positive = run(objective__entropy=np.linspace(60, 10, 100))  # answers get shorter
    assert not diagnose_run(positive)


def test_no_answer_ends_by_trls_count() -> None:
    # Of ten updates in a row the first with a quarter of them cut are 44 to 53; 49 is in their middle.
    assert found(run(val__num_eos_tokens=step(20, 0, 51)))["truncated answers"].update == 49


def test_single_steps_clip_nothing_and_need_not() -> None:
    still = {"policy__clipfrac_avg": 0.0, "objective__kl": 1.0, "objective__scores": np.linspace(0, 1, 100)}
    assert not diagnose_run(run({"ppo.num_ppo_epochs": 1, "ppo.num_minibatches": 1}, **still))
    assert not diagnose_run(run(**still, policy__approxkl_avg=0.0))
    assert "clip range never binds" in found(run(**still, policy__approxkl_avg=0.02))


def test_causes_are_told_and_their_consequences_are_not() -> None:
    record = run(
        objective__kl=1e-6,
        objective__scores=np.tile([0.1, 0.2], 50),
        policy__clipfrac_avg=0.0,
        policy__approxkl_avg=1e-10,
        val__explained_variance=0.0,
    )
    assert list(found(record)) == ["learns nothing"]
    constant = RunRecord("0", {**record.metrics, "objective/scores_std": np.zeros(100)})
    assert list(found(constant)) == ["constant scores"]


def test_scores_that_come_to_be_alike() -> None:
    assert found(run(objective__scores_std=step(1, 0.005, 41)))["constant scores"].update == 41
    assert not diagnose_run(run(objective__scores_std=step(1, 0.05, 41)))


def test_a_small_but_certain_gain_is_a_gain() -> None:
    spent = {"objective__kl": step(0, 6, 20), "objective__scores_std": 1.0}
    noise = np.tile([0.001, -0.001], 50)
    assert "KL without gain" not in found(run(**spent, objective__scores=np.linspace(0, 0.08, 100) + noise))
    assert "KL without gain" in found(run(**spent, objective__scores=noise))


def test_a_negative_kl_has_to_last() -> None:
    assert found(run(objective__kl=step(0.1, -0.5, 31)))["negative KL"].update == 31
    assert not diagnose_run(run(objective__kl=np.where(UPDATES < 40, -0.5, -0.05)))


def test_one_judge_of_three_may_want_something_else() -> None:
    up, down = 0.7, np.linspace(0.6, 0.3, 100)
    wins = {"eval__win_rate": 0.9, "judge__a__win_rate": up, "judge__b__win_rate": up, "judge__c__win_rate": down}
    assert not diagnose_run(run(**wins))
    hacked = found(run(**{**wins, "judge__b__win_rate": down}))["reward hacking"]
    assert "2 of 3 judges" in hacked.text


def test_the_own_reward_model_is_no_judge() -> None:
    wins = {"eval__win_rate": 0.9, "judge__a__win_rate": 0.9, "judge__b__win_rate": np.linspace(0.6, 0.3, 100)}
    assert not diagnose_run(run(**wins))
    assert "reward hacking" in found(run({"reward_model.name": "a"}, **wins))


def test_hacking_begins_where_judges_turn_and_needs_an_own_gain() -> None:
    # The best level is about 0.7, its standard error 0.5 / root of 20 evaluations of 100 prompts: 0.69 at update 62 is
    # within 1.5 of them, 0.678 at 63 is not.
    wobble = 0.01 * np.sin(UPDATES / 3)
    judge = np.where(UPDATES <= 60, 0.7 - UPDATES * 1e-4, 0.7 - (UPDATES - 60) * 0.01) + wobble
    assert found(run(eval__win_rate=0.9, judge__a__win_rate=judge))["reward hacking"].update == 62
    assert not diagnose_run(run(eval__win_rate=0.5, judge__a__win_rate=judge))
    few = {"eval.num_prompts": 4}
    assert "reward hacking" not in found(run(few, eval__win_rate=1.0, judge__a__win_rate=0.7 - 0.0015 * UPDATES))


def test_a_long_message_is_cut_where_that_shows() -> None:
    record = RunRecord(
        "0", {"update": UPDATES}, {}, "failed", {"status": "failed", "cause": "error", "message": "a\n" * 200}
    )
    text = found(record)["failed: error"].text
    assert text.startswith("the run ended in update 100: a a a")
    assert text.endswith("…")


@pytest.mark.parametrize("turn", [40, 70, 85])
def test_hacking_begins_at_the_last_good_evaluation_not_a_window_later(turn: int) -> None:
    judge = 0.5 + 0.3 * (1 - np.exp(-UPDATES / 25)) - 0.01 * np.maximum(UPDATES - turn, 0) * 60 / (100 - turn)
    rates = {name: np.where(UPDATES % 5 == 0, values, np.nan) for name, values in (("own", UPDATES**0), ("a", judge))}
    begin = found(run(eval__win_rate=0.9 * rates["own"], judge__a__win_rate=rates["a"]))["reward hacking"].update
    assert begin is not None
    assert begin in (turn, turn + 5)


def test_judges_whose_win_rates_are_unknown() -> None:
    noise = 0.05 * np.sin(UPDATES * 2)
    falling = np.where(UPDATES <= 40, 1.0, 1.0 - (UPDATES - 40) * 0.05) + noise
    finding = found(run(eval__win_rate=0.9, judge__a__score=falling))["reward hacking"]
    assert "score under a falls from" in finding.text
    assert finding.update == pytest.approx(40, abs=2)
    # Below its best, but far above where it began.
    risen = np.where(UPDATES <= 50, UPDATES * 0.1, 5.0 - (UPDATES - 50) * 0.04) + noise
    assert not diagnose_run(run(eval__win_rate=0.9, judge__a__score=risen))


def test_the_prompts_are_learned_by_heart() -> None:
    # 1.5 standard errors of 20 evaluations of 100 prompts are 0.0168: twice 0.008, not three times.
    falling = np.where(UPDATES <= 50, 0.8, 0.8 - (UPDATES - 50) * 0.008)
    learnt = run(objective__scores=np.linspace(0, 1, 100), eval__win_rate=falling)
    assert found(learnt)["held-out score falls"].update == 52
    assert "held-out score falls" not in found(run(objective__scores=np.linspace(1, 0, 100), eval__win_rate=falling))


def test_longer_answers_need_a_rising_score() -> None:
    longer = np.linspace(30, 90, 100)
    assert "length runs away" in found(run(objective__length=longer, objective__scores=np.linspace(0, 1, 100)))
    assert not diagnose_run(run(objective__length=longer, objective__scores=np.tile([0.0, 1.0], 50)))
    shorter = run(objective__length=np.linspace(90, 30, 100), objective__scores=np.linspace(0, 1, 100))
    assert "shrink" in found(shorter)["length runs away"].text
    assert not diagnose_run(run(objective__length=np.linspace(60, 30, 100), objective__scores=np.linspace(0, 1, 100)))


def test_markers_that_judges_do_not_reward() -> None:
    marked = {"eval__win_rate": 0.9, "eval__question_rate": np.linspace(0.2, 0.85, 100)}
    assert not diagnose_run(run(**marked))
    assert not diagnose_run(run(**marked, judge__a__win_rate=0.7))
    assert list(found(run(**marked, judge__a__win_rate=0.5))) == ["surface marker runs away"]


def test_failures_come_first_with_their_cause() -> None:
    summary = {"cause": "out_of_memory", "message": "RuntimeError: no memory\nleft", "update": 3}
    failed = RunRecord("0", {"update": np.arange(1.0, 3.0)}, {}, FAILED, summary)
    (finding,) = diagnose_run(failed)
    assert (finding.kind, finding.update) == ("failed: out of memory", 3)
    assert "no memory left" in finding.text
    assert "ppo.microbatch_size" in finding.advice
    diverged = RunRecord("0", run(objective__kl=200.0).metrics, {}, DIVERGED, {"update": 7})
    assert [one.kind for one in diagnose_run(diverged)] == ["diverged", "KL blow-up"]


def test_halved_batches_are_told() -> None:
    record = run({"ppo.microbatch_size": 16}, perf__microbatch_size=step(16, 4, 20))
    assert found(record)["memory ran short"].update == 20
