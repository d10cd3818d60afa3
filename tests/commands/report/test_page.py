import dataclasses
import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import numpy as np
import pytest

from lenet_multi import __version__
from lenet_multi.commands.report import charts, command, page, pictures
from lenet_multi.commands.report.climb import read_climb
from lenet_multi.commands.report.groups import group
from lenet_multi.config import PRECISIONS
from lenet_multi.errors import UserError
from lenet_multi.lenet.recipes import RECIPES
from lenet_multi.parity.figure import Line
from lenet_multi.parity.ladder import RUNGS
from lenet_multi.runs.comparison import seconds_per_epoch, shown_headline
from lenet_multi.runs.palette import style
from lenet_multi.runs.record import Run, read_run
from tests.commands.report.material import (
    HOSTILE,
    climb_folder,
    of_data,
    picture_data,
    three_folders,
)
from tests.conftest import Lenet
from tests.examples import example_epochs, example_run, example_values_run, keep
from tests.stand_ins import Calls


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of three runs and a climb."""
    folder = tmp_path_factory.mktemp("runs")
    runs = page.read_runs(three_folders(folder))
    return page.render(runs, read_climb(climb_folder(folder / "climb")))


@pytest.mark.parametrize(
    "text",
    [
        "They agree.",
        "99.00%",
        "98.80%",
        "57,000",
        "500",  # MiB
        "the runs agree",
        "the same at every rung",
        "L6 portability",
        "↑ top",
        "build and compile",
        "most often 0 as 1",
        "3.15.1",
        "Keras floatx",
        "said <b>",
        "data:image/png;base64,",
    ],
)
def test_the_page_holds(whole: str, text: str) -> None:
    """The page shows results, verdicts, rungs, time by part, mistakes, pictures and environment."""
    assert text in whole


@pytest.fixture
def content(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the template of the next page gets; the page itself is the word "page"."""
    kept: dict[str, Any] = {}
    template = SimpleNamespace(render=lambda **given: str(kept.update(given) or "page"))
    monkeypatch.setattr(page, "_template", lambda: template)
    for name in ("curves", "time_bars", "gap_chart"):
        monkeypatch.setattr(charts, name, Calls().of(name, "chart"))
    return kept


def test_the_template_gets_all_that_was_found(
    content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs come in the order of their groups, with what a climb found."""
    calls = Calls()
    monkeypatch.setattr(charts, "time_bars", calls.of("bars", "B"))
    monkeypatch.setattr(charts, "gap_chart", calls.of("gaps", "G"))
    runs = [example_run("jax"), example_run("torch", device="gpu"), example_values_run("jax")]
    climb = read_climb(climb_folder(tmp_path / "climb"))
    assert page.render(runs, climb) == "page"
    shown = content["shown"]
    assert [one.run.result.backend for one in shown] == ["jax", "torch", "jax"]
    assert calls == [("bars", shown, "time", {}), ("gaps", climb.lines, "gaps", {})]
    parts = content.pop("parts")
    assert [part["group"].runs for part in parts] == [shown[:2], shown[2:]]
    assert {name: content[name] for name in content.keys() - {"environment", "settings"}} == {
        "version": __version__,
        "style": style(),
        "shown": shown,
        "metric": "accuracy or mean absolute error",
        "classifies": True,
        "trained_on": "training images",
        "shown_headline": shown_headline,
        "seconds_per_epoch": seconds_per_epoch,
        "time_parts": ["import", "build_and_compile", "train", "evaluate"],
        "time_chart": "B",
        "climb": climb,
        "rungs": RUNGS,
        "precisions": PRECISIONS,
        "gap_chart": "G",
        "gap_rows": page._gap_rows(climb.lines),
    }
    same, different = content["environment"]
    assert same[:2] == [("keras", "3.15.1"), ("cores", "2")]
    assert ("Keras floatx", "float32") in same
    assert {("threads", "2"), ("form", "stock"), ("jit compile", "False")} <= {*same}
    assert different == [
        ("backend and its version", ["jax", "torch", "jax"]),
        ("device", ["cpu", "gpu", "cpu"]),
    ]
    same, different = content["settings"]
    assert {
        ("class names", "numbers"),
        ("data, SHA-256", "d" * 64),
        ("initial weights, SHA-256", "a" * 64),
        ("first epoch's order, SHA-256", "b" * 64),
        ("final weights, SHA-256", "c" * 64),
        ("learning rate", "0.001"),
    } <= {*same}
    assert ("architecture", ["lenet", "lenet", "tests.guest:GUEST"]) in different


def test_without_a_climb_there_are_no_gaps(content: dict[str, Any], tmp_path: Path) -> None:
    """Nor if the climb has no lines; a regression trains on examples."""
    page.render([example_values_run(class_names=["a", "b"])])
    assert (content["climb"], content["gap_chart"], content["gap_rows"]) == (None, "", [])
    assert content["trained_on"] == "training examples"
    assert content["classifies"] is False
    assert ("class names", "a, b") in content["settings"][0]
    page.render([example_run()], read_climb(climb_folder(tmp_path / "climb", gaps=[])))
    assert (content["gap_chart"], content["gap_rows"]) == ("", [])


def test_a_group_has_its_verdict_curves_confusions_and_mistakes(
    content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Curves are named by the group and their place; a group of one has no verdict."""
    calls = Calls()
    monkeypatch.setattr(charts, "curves", calls.of("curves", "curve"))
    data = picture_data(tmp_path)
    runs = [of_data(data, "jax", right=970), of_data(data, "torch", right=971)]
    page.render([*runs, example_values_run()])
    first, second = content["parts"]
    assert [call[2:] for call in calls] == [
        ("loss", {"name": "curve-1-0"}),
        ("accuracy", {"name": "curve-1-1"}),
        ("loss", {"name": "curve-2-0"}),
        ("mean_absolute_error", {"name": "curve-2-1"}),
    ]
    assert calls[0][1] is first["group"]
    assert first["curves"] == ["curve", "curve"]
    assert first["comparison"].passed
    assert [one["shown"] for one in first["confusions"]] == first["group"].runs
    assert len(first["mistakes"]) == 12
    assert first["names"] == [str(label) for label in range(10)]
    images = pictures.test_images(first["group"].runs[0].result)
    wanted = {one.image: pictures.data_uri(images[one.image]) for one in first["mistakes"]}
    assert (first["pictures"], first["no_pictures"]) == (wanted, "")
    assert {name: second[name] for name in second.keys() - {"group", "curves"}} == {
        "comparison": None,
        "confusions": [],
        "mistakes": [],
        "names": [],
        "pictures": {},
        "no_pictures": "",
    }


def test_a_confusion_has_its_counts_and_its_most_frequent_mistakes() -> None:
    """At most 20 classes fit into a table; without mistakes there is no most frequent one."""
    (found,) = group([example_run(right=989)])
    (run,) = found.runs
    confusion = page._confusion(run)
    assert confusion.pop("counts").sum() == 1000
    assert confusion == {
        "shown": run,
        "names": [str(label) for label in range(10)],
        "is_named": False,
        "fits": True,
        "often": [(9, 0, 2), (0, 1, 1), (1, 2, 1)],
        "most": 2,
    }
    names = [f"class-{label}" for label in range(10)]
    (found,) = group([example_run(right=1000, class_names=names)])
    confusion = page._confusion(found.runs[0])
    assert (confusion["names"], confusion["is_named"]) == (names, True)
    assert (confusion["often"], confusion["most"]) == ([], 0)
    for classes, fits in ((20, True), (21, False)):
        many = dataclasses.replace(example_run(), outputs=np.zeros((1000, classes), np.float32))
        assert page._confusion(group([many])[0].runs[0])["fits"] is fits


def test_gaps_are_rows_of_steps() -> None:
    """A line without that step has none."""
    lines = [Line("a", "float32", [1, 3], [0.1, 0.3]), Line("b", "float64", [2, 3], [0.2, 0.4])]
    assert page._gap_rows(lines) == [(1, [0.1, None]), (2, [None, 0.2]), (3, [0.3, 0.4])]


def test_facts_are_parted_into_what_is_the_same_and_what_is_not() -> None:
    """Names lose their underscores; a run that lacks a fact has a dash."""
    columns = [{"of_all": 1, "of_one": 2}, {"of_all": 1, "other": 3}]
    assert page._facts(columns) == (
        [("of all", "1")],
        [("of one", ["2", "\u2013"]), ("other", ["\u2013", "3"])],
    )


def test_an_undefined_name_in_the_template_is_an_error() -> None:
    """And what comes from runs is escaped."""
    environment = page._template().environment
    assert (environment.autoescape, environment.undefined) == (True, jinja2.StrictUndefined)
    assert (environment.trim_blocks, environment.lstrip_blocks) == (True, True)


def test_names_of_classes_are_on_the_page(tmp_path: Path) -> None:
    """Confusions, their summary and mistakes name the classes; a hostile name is only text."""
    names = [f"class-{label}" for label in range(9)] + [HOSTILE]
    run = of_data(picture_data(tmp_path), right=989, class_names=names)
    html = page.render(page.read_runs([keep(run, tmp_path / "run")]))
    assert html.count('<th scope="col">class-3</th>') == 1
    assert html.count('<th scope="row">class-3</th>') == 1
    assert 'class="matrix named"' in html
    assert re.search(r"class-0 as class-1 \(1\)", html)
    assert re.search(r"<b>class-\d</b> <small", html)
    assert re.search(r"said <b>class-\d</b>", html)
    assert re.search(r"labelled class-\d", html)
    assert "class-0, class-1" in html
    assert HOSTILE not in html
    assert "&lt;img src=x" in html


def test_the_page_needs_nothing_beside_it(whole: str) -> None:
    """The page has no script and no address outside itself, and its policy forbids both."""
    assert "http" not in whole.replace("http-equiv", "")
    assert "<script" not in whole
    addresses = re.findall(r'(?:href|src)="([^"]*)"', whole)
    assert {address.partition(":")[0] for address in addresses if address[0] != "#"} == {"data"}
    assert "@import" not in whole
    assert set(re.findall(r"url\((.)", whole)) <= {"#"}
    assert "default-src 'none'" in whole


def test_the_page_is_valid(whole: str) -> None:
    """A strict HTML parser accepts the page, and every id is unique."""
    import html5lib  # only the session `across` installs it

    html5lib.HTMLParser(strict=True).parse(whole)
    ids = re.findall(r'\bid="([^"]*)"', whole)
    assert len(ids) == len(set(ids))


def test_every_reference_leads_somewhere(whole: str) -> None:
    """Every clip, marker, hatch, text alternative and link names an existing id."""
    ids = set(re.findall(r'\bid="([^"]*)"', whole))
    labels = " ".join(re.findall(r'aria-labelledby="([^"]*)"', whole)).split()
    assert ids.issuperset(labels)
    assert ids.issuperset(re.findall(r'href="#([^"]*)"', whole))
    assert ids.issuperset(re.findall(r"url\(#([^)]*)\)", whole))


def test_every_chart_is_told_in_words(whole: str) -> None:
    """Each chart is an image with a title and a description, and has a table."""
    charts = re.findall(r"<svg .*?</svg>", whole, re.DOTALL)
    assert len(charts) == 4  # loss, accuracy, time, gaps
    for chart in charts:
        assert 'role="img"' in chart
        assert re.search(r"<title [^>]*>[^<]+</title><desc [^>]*>[^<]+</desc>", chart)
    for summary in ("The curves as tables", "Seconds of each run by part", "The figure as a table"):
        assert summary in whole


def test_charts_take_the_pages_colours(whole: str) -> None:
    """No chart fixes a colour, so all charts suit dark ground."""
    for chart in re.findall(r"<svg .*?</svg>", whole, re.DOTALL):
        assert "var(--" in chart
        assert set(re.findall(r"#[0-9a-f]{6}\b", chart)) <= {"#000000"}  # of clips


def test_what_comes_from_runs_is_escaped(tmp_path: Path) -> None:
    """Hostile names of backend, folder, version, setting, part and climb stay text everywhere."""
    data = picture_data(tmp_path)
    config = of_data(data).result.config | {"recipe": HOSTILE, HOSTILE: HOSTILE}
    seconds = {HOSTILE: 1.0, "train": 2.0}
    change = {"config": config, "versions": {HOSTILE: HOSTILE}, "seconds": seconds}
    values = example_values_run(
        HOSTILE, test_metrics={HOSTILE: 1.0}, epochs=example_epochs(2, HOSTILE)
    )
    runs = [
        *(
            dataclasses.replace(of_data(data, HOSTILE, **change), folder=Path(HOSTILE, name))
            for name in ("a", "b")
        ),
        values,
    ]
    finding = {"what": HOSTILE, "where": HOSTILE, "pair": [HOSTILE, "jax"], "precision": "float32"}
    climb = climb_folder(
        tmp_path / "climb",
        findings=[{"rung": "L1 forward", "gap": 2, "allowed": 1, **finding}],
        failures=[{"child": HOSTILE, "reason": HOSTILE, "last_lines": []}],
        gaps=[{"name": HOSTILE, "kind": "float32", "steps": [1, 2], "gaps": [1, 2]}],
    )
    made = page.render(runs, read_climb(climb))
    assert "<img src=x" not in made
    assert "{{ 7 * 7 }}" in made
    assert made.count("&lt;img src=x") > 20
    import html5lib

    html5lib.HTMLParser(strict=True).parse(made)


def test_one_run_is_enough(tmp_path: Path) -> None:
    """A single run gets a page without a verdict."""
    made = page.render([example_run()])
    assert "One run." in made
    assert 'id="agreement"' not in made
    assert 'id="ladder"' not in made


def test_runs_of_a_regression_get_a_page() -> None:
    """The page shows their own metric, and no count of right answers."""
    runs = [
        example_values_run(backend, epochs=example_epochs(6, "mean_absolute_error"))
        for backend in ("jax", "torch")
    ]
    made = page.render(runs)
    assert "Mean absolute error of " in made
    assert "validation mean absolute error" in made
    assert "the runs agree" in made
    assert made.count("<svg ") == 3
    assert not {"accuracy", "Mistakes", "nats"} & set(re.findall(r"\w+", made))


@pytest.mark.parametrize(
    "run",
    [
        example_run(epochs=example_epochs(2, "other")),
        example_values_run(epochs=example_epochs(2, "other")),
        example_values_run(test_metrics={}),
    ],
    ids=["classifier", "regression", "no metric"],
)
def test_a_metric_that_epochs_do_not_tell_has_no_curves(run: Run) -> None:
    """The metric of the test examples is still shown."""
    made = page.render([run])
    assert made.count("<svg ") == 2  # loss, time
    assert re.findall(r'<th scope="col">validation ([^<]*)', made) == ["loss"]
    assert shown_headline(run.result) in made
    ids = re.findall(r'\bid="([^"]*)"', made)
    assert len(ids) == len(set(ids))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "change",
    [
        {"epochs": [{**epoch, "loss": 0.0, "val_loss": 0.0} for epoch in example_epochs(2)]},
        {"seconds": {}},
        {"seconds": {f"part {number}": 1.0 for number in range(9)}},
    ],
    ids=["no loss", "no parts", "many parts"],
)
def test_odd_runs_get_a_page(change: dict[str, Any]) -> None:
    """A loss of 0, no seconds, or more parts than hatches: all are drawn without a warning."""
    assert "<svg" in page.render([example_run(**change)])


def test_a_path_that_is_no_text_is_escaped() -> None:
    """Names that are not valid text are escaped, so the page is always UTF-8."""
    run = example_run(device="\x1b[31m", seconds={"\ud800": 1.0, "a\nb": 2.0})
    run.result.config["data"] = "\udcff.npz"
    made = page.render([dataclasses.replace(run, folder=Path("\udcff"))])
    for text in ("\\x1b[31m", "\\ud800 1.0", "\\udcff.npz", "a\\nb"):
        assert text in made


def test_a_run_without_mistakes_gets_a_page() -> None:
    """The page says that there are none."""
    assert "There are none." in page.render([example_run(right=1000)])


def test_runs_that_differ_are_said_to(tmp_path: Path) -> None:
    """The page gives the verdict of `compare`."""
    made = page.render([example_run(), example_run("torch", right=800)])
    assert "They differ." in made
    assert "✗ the runs differ" in made


def test_a_climb_that_failed_is_said_to(tmp_path: Path) -> None:
    """The page gives the ladder's verdict and names the climber that failed."""
    failures = [{"child": "jax float32", "reason": "crashed", "last_lines": []}]
    climb = read_climb(climb_folder(tmp_path / "climb", failures=failures))
    made = page.render([example_run()], climb)
    assert "They differ." not in made
    assert "No verdict." in made
    assert "jax float32 failed: it crashed" in made


def test_runs_of_other_settings_stand_apart(tmp_path: Path) -> None:
    """Each recipe has its own curves, and its runs are compared only with each other."""
    notebook = dataclasses.asdict(RECIPES["notebook"])
    runs = [example_run(), example_run("torch"), example_run(config=notebook), example_run(seed=1)]
    named = [dataclasses.replace(run, folder=Path(str(i))) for i, run in enumerate(runs)]
    made = page.render(named)
    assert made.count("<svg ") == 3 * 2 + 1
    assert made.count("the runs agree") == 1
    assert "standard, seed 1" in made
    assert "jax, 3" in made


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"data_sha256": "0" * 64}, "has changed since the run; put"),
        ({"config": example_run().result.config | {"data": "nowhere"}}, "no data at"),
    ],
    ids=["other data", "no data"],
)
def test_pictures_that_cannot_be_had_are_left_out(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    """Without the run's images, mistakes are listed without pictures, and the page says why."""
    made = page.render([of_data(picture_data(tmp_path), **change)])
    assert f"Without pictures: {'' if 'changed' not in reason else tmp_path}" in made
    assert reason in made
    assert "<img" not in made
    assert "image 999" in made


def test_many_classes_get_no_matrix() -> None:
    """With 100 classes the page names the most frequent confusions, and stays small."""
    logits = np.zeros((1000, 100), np.float32)
    config = example_run().result.config | {"classes": 100}
    run = dataclasses.replace(example_run(config=config), outputs=logits)
    made = page.render([run])
    assert '<table class="matrix"' not in made
    assert "most often 1 as 0 (100)" in made


def test_a_class_beyond_256_is_shown_by_its_number() -> None:
    """The page shows the mistakes of a user's classifier with 500 classes."""
    logits = np.zeros((1000, 500), np.float32)
    logits[:, 499] = 1
    config = example_run().result.config | {"classes": 500}
    assert "said <b>499</b>" in page.render(
        [dataclasses.replace(example_run(config=config), outputs=logits)]
    )


def test_a_page_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the page would be too large, the error gives its size."""
    monkeypatch.setattr(page, "MOST_BYTES", 10_000)
    words = r"^the page would take 0\.\d MB, more than 0\.01; give fewer runs than 1$"
    with pytest.raises(UserError, match=words):
        page.render([example_run()])


def test_a_page_may_be_as_large_as_the_limit(
    content: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page is counted in bytes."""
    monkeypatch.setattr(page, "MOST_BYTES", len("page"))
    assert page.render([example_run()]) == "page"
    assert content


def test_thirty_runs_fit(tmp_path: Path) -> None:
    """Ten seeds on three backends stay under the limit, each with its own label."""
    runs = [
        dataclasses.replace(
            example_run(backend, seed=seed, epochs=example_epochs(6)),
            folder=Path(f"seed-{seed}-{backend}"),
        )
        for seed in range(10)
        for backend in ("tensorflow", "jax", "torch")
    ]
    made = page.render(runs)
    assert len(made.encode()) < page.MOST_BYTES
    assert "seed-9-torch" in made


def test_the_command_writes_the_page(tmp_path: Path, lenet: Lenet) -> None:
    """It prints the path, and leaves no other file."""
    keep(example_run(), tmp_path / "jax")
    done = lenet("report", "jax", "--out", "pages/one.html")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Report: pages/one.html\n"
    assert done.stderr == "Drawing 1 runs\n"
    assert os.listdir(tmp_path / "pages") == ["one.html"]
    assert (tmp_path / "pages" / "one.html").read_text().startswith("<!DOCTYPE html>")


def test_a_page_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    """An older page is replaced only with `overwrite`, and then completely."""
    out = tmp_path / "report.html"
    out.write_text("older")
    with pytest.raises(UserError, match="exists and is kept; pass --overwrite"):
        page.write("newer", out, overwrite=False)
    assert out.read_text() == "older"
    page.write("newer", out, overwrite=True)
    assert out.read_text() == "newer"
    deep = tmp_path / "a" / "b" / "report.html"
    page.write("newer", deep, overwrite=False)
    assert deep.read_text() == "newer"


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    """An unwritable place gives one line, and no part of a page is left."""
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write .*: File exists; choose another --out"):
        page.write("page", tmp_path / "file" / "report.html", overwrite=False)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere is no run folder"),
        (["jax", "./jax"], "jax is given twice; give each run once"),
        (["old"], "has schema version 2, this program reads"),
        (["jax", "--out", "jax"], "jax is a folder; choose another --out"),
        (["jax", "--out", "kept.html"], "kept.html exists and is kept"),
        (["jax", "--out", "/proc/page.html"], "cannot write /proc/page.html"),
        (["jax", "--parity", "jax"], "jax holds no readable comparison.json"),
    ],
    ids=["no run", "twice", "schema", "folder", "exists", "unwritable", "parity"],
)
def test_bad_input_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    """The error names the wrong argument and the remedy, and no page is left."""
    monkeypatch.chdir(tmp_path)
    keep(example_run(), tmp_path / "jax")
    keep(example_run(schema_version=2), tmp_path / "old")
    (tmp_path / "kept.html").write_text("kept")
    with pytest.raises(UserError, match=re.escape(message)):
        command.main(arguments, standalone_mode=False)
    assert sorted(os.listdir(tmp_path)) == ["jax", "kept.html", "old"]
    assert (tmp_path / "kept.html").read_text() == "kept"


@pytest.mark.backend
def test_a_real_run_gets_a_page(small_run: Path) -> None:
    """The page shows the results as the run recorded them."""
    run = read_run(small_run)
    made = page.render([run])
    assert f"{run.result.test_accuracy:.2%}" in made
    assert f"{run.result.versions['keras']}" in made
