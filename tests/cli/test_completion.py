"""What Tab offers, and where the scripts of the shells are written."""

import pytest

from lightly_core.cli.candidates import SETTINGS, find_candidates
from lightly_core.cli.completion_lines import read_line
from lightly_core.cli.main import COMMANDS
from lightly_core.listing import list_methods

BREAKS = " \t\n\"'@><=;|&(:"


def texts(line):
    *words, current = line.split(" ")
    return [candidate.text for candidate in find_candidates(words, current)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("be", ["benchmark"]),
        ("--strict-plugins meth", ["methods"]),
        ("--no-plugin timm meth", ["methods"]),
        ("--ve", ["--version"]),
        ("run --dr", ["--dry-run"]),
        ("models --", ["--help", "--traceback", "--no-plugin", "--strict-plugins", "--family"]),
        ("methods sims", ["simsiam"]),
        ("list_methods sims", ["simsiam"]),
        ("plugins torchv", ["torchvision"]),
        ("plugin ch", ["check"]),
        ("plugin check torchv", ["torchvision"]),
        ("plugin new x --kind tr", ["transform"]),
        ("completion install z", ["zsh"]),
        ("nonsense ", []),
        ("methods simclr sim", []),
    ],
)
def test_commands_options_and_names(line, expected):
    found = texts(line)
    assert found == expected or (line == "models --" and set(expected) < set(found))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("run epo", ["epochs="]),
        ("run epochs=3 epo", []),
        ("run transform_ar", ["transform_args."]),
        ("run transform_args.random_fl", ["transform_args.random_flip."]),
        ("run transform_args.random_flip.v", ["transform_args.random_flip.vertical_prob="]),
        ("run method=simclr method_args.temp", ["method_args.temperature="]),
        ("run method=simclr optim_args.trust", []),
        ("run optim=lars optim_args.trust", ["optim_args.trust_coefficient="]),
        ("run loggers.tens", ["loggers.tensorboard."]),
        ("run loggers.tensorboard.pre", ["loggers.tensorboard.prefix="]),
        ("run callbacks.knn.tem", ["callbacks.knn.temperature="]),
        ("run resum", ["resume_interrupted="]),
        ("embed shard", ["shard_size="]),
        ("evaluate linear.sol", ["linear.solver="]),
        ("benchmark suite.toml run.transform_args.random_fl", ["run.transform_args.random_flip."]),
        ("benchmark suite.toml data.tr", ["data.train="]),
        ("benchmark suite.toml launcher_args.", None),
        ("send out loggers.wandb.ent", ["loggers.wandb.entity="]),
        ("run method=nonsense method_args.t", []),
        ("run epochs.x", []),
    ],
)
def test_names_of_settings(line, expected):
    found = texts(line)
    assert found == expected if expected is not None else found


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("run epochs=a", ["epochs=auto"]),
        ("run precision=bf", ["precision=bf16-mixed", "precision=bf16-true"]),
        ("run compile=", ["compile=true", "compile=false"]),
        ("run optim=l", ["optim=lars"]),
        ("run accelerator=c", ["accelerator=cpu", "accelerator=cuda"]),
        ("run seed=", ["seed=none"]),
        ("run method=sims", ["method=simsiam"]),
        ("run transform_args.gaussian_blur=", None),
        ("run loggers.tensorboard=f", ["loggers.tensorboard=false"]),
        ("run data=builtin", ["data=builtin:digits"]),
        ("run model=torchv", ["model=torchvision/"]),
        ("run model=torchvision/resnet1", [f"model=torchvision/resnet{n}" for n in (101, 152, 18)]),
        ("run method=distillationv1 method_args.teacher=ti", ["method_args.teacher=timm/"]),
        ("runs sort=kn", ["sort=knn"]),
        ("export format=onn", ["format=onnx"]),
        ("run nonsense=", []),
    ],
)
def test_values_of_settings(line, expected):
    found = texts(line)
    if expected is None:
        expected = ["transform_args.gaussian_blur=true", "transform_args.gaussian_blur=false"]
    assert found == expected


def test_all_methods_are_values():
    assert texts("run method=") == [f"method={name}" for name in list_methods()]


def test_names_of_weights_follow_when_the_network_is_complete():
    assert "timm/resnet18" in texts("models timm/resnet1")
    assert not [name for name in texts("models timm/resnet1") if "." in name]
    assert "timm/resnet18.a1_in1k" in texts("models timm/resnet18")
    assert "timm/resnet18.a1_in1k" in texts("models timm/resnet18.a1")


def test_the_method_of_the_file_decides_about_options(tmp_path):
    (tmp_path / "run.toml").write_text('method = "byol"\noptim = "sgd"\n')
    begin = f"run --config {tmp_path}/run.toml"
    assert texts(f"{begin} optim_args.nest") == ["optim_args.nesterov="]
    assert texts(f"{begin} optim=adamw optim_args.nest") == []
    assert "method=" in texts(f"{begin} meth")


def test_files_and_folders_are_offered_where_a_setting_takes_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.png").touch()
    (tmp_path / "in.toml").touch()
    (tmp_path / ".hidden").touch()
    assert texts("run data=i") == ["data=images/", "data=in.toml"]
    assert texts("run data=images/") == ["data=images/a.png"]
    assert texts("run --config i") == ["images/", "in.toml"]
    assert texts(f"run out={tmp_path}/im") == [f"out={tmp_path}/images/"]
    assert texts("run epochs=i") == []
    assert texts("report im") == ["images/"]
    assert texts("benchmark ") == ["images/", "in.toml", *texts("benchmark x.toml ")[2:]]
    assert [c.is_whole for c in find_candidates(["run"], "data=i")] == [False, True]


@pytest.mark.parametrize("command", SETTINGS)
def test_every_setting_of_every_command_is_offered(command):
    found = texts(f"{command} x ") if command == "benchmark" else texts(f"{command} ")
    assert len([text for text in found if text.endswith(("=", "."))]) >= 4


def test_every_command_can_be_completed(run):
    for command in COMMANDS:
        assert "--help" in texts(f"{command} --he")
        assert run("completion", "next", "fish", command, "--he")[1].startswith("--help")


# ----------------------------------------------------------------------------- lines of bash


@pytest.mark.parametrize(
    ("text", "words", "current", "kept"),
    [
        ("lightly run epo", ["lightly", "run"], "epo", 0),
        ("lightly run ", ["lightly", "run"], "", 0),
        ("lightly  run optim=l", ["lightly", "run"], "optim=l", 6),
        ("A=1 lightly run data=builtin:d", ["lightly", "run"], "data=builtin:d", 13),
        (r"lightly run data=my\ im", ["lightly", "run"], "data=my im", 5),
        ('lightly run "data=my im', ["lightly", "run"], "data=my im", 0),
        ("lightly run data='my im", ["lightly", "run"], "data=my im", 5),
        (r"lightly run 'a\b' x", ["lightly", "run", r"a\b"], "x", 0),
    ],
)
def test_a_line_of_bash_is_split(text, words, current, kept):
    line = read_line(text, BREAKS)
    assert (list(line.words), line.current, line.kept) == (words, current, kept)


def test_letters_with_a_meaning_for_bash_are_escaped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my $images").mkdir()
    (tmp_path / "my file").touch()
    for begin, expected in {
        "data=my": [r"my\ \$images/", r"my\ file "],
        "data='my": ["my $images/", "my file' "],
        r"data=my\ f": [r"my\ file "],
    }.items():
        line = read_line(f"lightly run {begin}", BREAKS)
        assert list(line.replies(find_candidates(["run"], line.current))) == expected


# ----------------------------------------------------------------------------- installing


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "ZDOTDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("shell", "script", "startup"),
    [
        ("bash", ".local/share/bash-completion/completions/lightly", ".bashrc"),
        ("zsh", ".local/share/zsh/site-functions/_lightly", ".zshrc"),
        ("fish", ".config/fish/completions/lightly.fish", None),
    ],
)
def test_installing_twice_is_installing_once(run, home, monkeypatch, shell, script, startup):
    if startup is not None:
        (home / startup).write_text("alias a=b")
    code, out, err = run("completion", "install", shell)
    assert (code, err) == (0, "")
    assert out.startswith(f"written to {home / script}\n")
    assert (home / script).read_text() == run("completion", shell)[1]
    monkeypatch.setenv("SHELL", f"/usr/bin/{shell}")
    before = (home / startup).read_text() if startup is not None else ""
    assert run("completion", "install")[0] == 0
    if startup is not None:
        assert (home / startup).read_text() == before
        assert before.splitlines()[0] == "alias a=b"
        assert str(home / script) in before.splitlines()[1]
    files = {path for path in home.rglob("*") if path.is_file()}
    assert files == {home / script, *([home / startup] if startup is not None else [])}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("fsh",), "expected one of bash, zsh, fish, install, got 'fsh', did you mean 'fish'?"),
        (("install", "csh"), "expected one of bash, zsh, fish, got 'csh'"),
        (("bash", "zsh"), "unknown argument 'zsh'"),
        ((), "the following arguments are required: ACTION"),
    ],
)
def test_mistakes_are_explained(run, home, words, message):
    code, out, err = run("completion", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert list(home.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_an_error(run, home):
    (home / ".local").touch()
    code, _, err = run("completion", "install", "bash")
    assert code == 2
    assert "the completion of bash cannot be installed" in err
    assert not (home / ".bashrc").exists()
