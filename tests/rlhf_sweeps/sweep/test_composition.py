"""A run's config in its folder: what Hydra itself would compose and write."""

from pathlib import Path

import pytest
import yaml
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from rlhf_sweeps.cli import conf_dir, register
from rlhf_sweeps.sweep.composition import Composer

CASES = [
    ["ppo.lr=0.0003", "seed=4"],
    ["ppo=trl", "ppo.kl_coef=1e-05"],
    ["model=smollm2_135m", "ppo.value_lr=null", "objective.constraints=['eval/kl<=3']"],
    ["ppo.stop_strings=['a b','\\n\\n']", "name='é x'", "tracking.tags=[a,b]"],
    ["ppo.lr=${model.suggested_lr}", "experiment=smollm2_human_like"],
]


@pytest.mark.parametrize("overrides", CASES)
def test_a_run_is_composed_and_written_as_hydra_does(overrides: list[str], tmp_path: Path) -> None:
    register()
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        master = loader.load_configuration("config", ["hydra.sweep.dir=s"], RunMode.MULTIRUN)
        expected = loader.load_sweep_config(master, overrides)
        composer = Composer(loader, master)
        composer.write(["ppo.lr=7", "seed=1"], 0, tmp_path / "other")  # leaves no trace in the next one
        composer.write(overrides, 3, tmp_path / "run")
    written = tmp_path / "run" / ".hydra"
    config = OmegaConf.load(written / "config.yaml")
    hydra = OmegaConf.load(written / "hydra.yaml")
    assert OmegaConf.to_container(config) == {
        key: value
        for key, value in OmegaConf.to_container(expected).items()
        if key != "hydra"  # type: ignore[union-attr]
    }
    assert yaml.safe_load((written / "overrides.yaml").read_text(encoding="utf-8")) == overrides
    assert OmegaConf.to_container(hydra.hydra.overrides.task) == overrides
    assert (hydra.hydra.job.num, hydra.hydra.sweep.dir) == (3, "s")
    assert hydra.hydra.runtime.output_dir == str((tmp_path / "run").absolute())


def test_a_runs_further_seed_is_composed_as_the_first_was(tmp_path: Path) -> None:
    """Written in a sweep that has been moved since; of a trial on seeds 7 and 8 the run with 8 comes now."""
    register()
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        master = loader.load_configuration("config", ["hydra.sweep.dir=old/place"], RunMode.MULTIRUN)
        first = tmp_path / "2" / "seed_7"
        Composer(loader, master).write(["ppo.lr=0.0003", "ppo.kl_coef=0.07", "seed=7"], 2, first)
        moved = loader.load_configuration("config", ["hydra.sweep.dir=new/place"], RunMode.MULTIRUN)
        config = Composer(loader, moved).rewrite(first, 8, tmp_path / "2" / "seed_8")
        own = Composer(loader, moved).rewrite(first, None, first)
    assert (config.seed, config.ppo.lr, config.ppo.kl_coef, own.seed) == (8, 0.0003, 0.07, 7)
    written = tmp_path / "2" / "seed_8" / ".hydra"
    assert OmegaConf.load(written / "config.yaml").seed == 8
    hydra = OmegaConf.load(written / "hydra.yaml").hydra
    assert list(hydra.overrides.task) == ["ppo.lr=0.0003", "ppo.kl_coef=0.07", "seed=8"]
    assert yaml.safe_load((written / "overrides.yaml").read_text(encoding="utf-8")) == list(hydra.overrides.task)
    assert (hydra.sweep.dir, hydra.job.num) == ("new/place", 2)
    assert hydra.runtime.output_dir == str((tmp_path / "2" / "seed_8").absolute())
    assert OmegaConf.load(first / ".hydra" / "hydra.yaml").hydra.sweep.dir == "new/place"


def test_a_run_that_an_earlier_version_composed_gets_the_keys_that_came_later(tmp_path: Path) -> None:
    register()
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        master = loader.load_configuration("config", ["hydra.sweep.dir=s"], RunMode.MULTIRUN)
        first = tmp_path / "2" / "seed_7"
        Composer(loader, master).write(["eval.num_prompts=9", "seed=7"], 2, first)
        file = first / ".hydra" / "config.yaml"
        earlier = yaml.safe_load(file.read_text(encoding="utf-8"))
        del earlier["eval"]["num_confirming"], earlier["objective"]["kl_price"], earlier["dataset"]["suggested_judges"]
        del earlier["dataset"]["confirm_path"], earlier["dataset"]["confirm_split"]
        file.write_text(yaml.safe_dump(earlier), encoding="utf-8")
        config = Composer(loader, master).rewrite(first, 8, tmp_path / "2" / "seed_8")
    assert (config.seed, config.eval.num_prompts, config.eval.num_confirming) == (8, 9, 128)
    assert (config.dataset.confirm_split, config.objective.kl_price) == (None, 0.1)


def test_one_time_names_the_folder_and_what_the_config_asks(tmp_path: Path) -> None:
    register()
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        master = loader.load_configuration("config", ["hydra.sweep.dir=s_${now:%f}"], RunMode.MULTIRUN)
        composer = Composer(loader, master)
        tasks = [composer._compose(["name='${now:%f} ${now:%Y}'"], n, tmp_path, tmp_path)[0] for n in (0, 1)]
    micros = composer.folder.name.removeprefix("s_")
    assert [task.name.split()[0] for task in tasks] == [micros, micros]
    assert 2000 < int(tasks[0].name.split()[1]) < 10_000
