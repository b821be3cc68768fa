import pytest

from genai.core.errors import UserError
from genai.data.tasks import NUM_VAL_SUMS, SUMS, TASKS, Tasks, is_val_prompt, scratch_line
from genai.media.chat import Chat

KINDS = [("add", "plain"), ("add", "backwards"), ("add", "scratch"), ("sort", ""), ("reverse", ""), ("make", "")]


def source(task: str, style: str = "", **options: int) -> Tasks:
    return Tasks(task, **({"style": style} if style else {}), **options)  # type: ignore[arg-type]


def questions(tasks: Tasks) -> tuple[set[str], set[str]]:
    train, val = (
        {str(example.media.question[0]["content"]) for example in split} for split in (tasks.train, tasks.val)
    )
    return train, val


@pytest.mark.parametrize(("task", "style"), KINDS)
def test_no_prompt_is_in_both_splits_whatever_the_seed(task: str, style: str) -> None:
    first, second = (questions(source(task, style, items=3000, seed=seed)) for seed in (0, 1))
    assert not (first[0] | second[0]) & (first[1] | second[1])
    assert all(map(is_val_prompt, first[1]))
    assert not any(map(is_val_prompt, first[0]))
    if task in ("sort", "reverse"):
        assert first[0] != second[0]


@pytest.mark.parametrize(("task", "style"), KINDS)
def test_the_answers_are_right_and_others_are_not(task: str, style: str) -> None:
    tasks = source(task, style, items=300)
    for split in (tasks.train, tasks.val):
        for example in split:
            chat = example.media
            assert tasks.is_right(chat, f" {chat.answer} ")
            assert not tasks.is_right(chat, chat.answer + "1")
            assert not tasks.is_right(chat, "")


def test_sizes() -> None:
    make = source("make", items=2000)
    assert len(make.train) == 2000
    assert len(make.val) == NUM_VAL_SUMS == 20
    assert len(questions(make)[0]) == len(SUMS) - 20 == 69
    add = source("add", val_items=10_000)
    assert len(add.train) + len(add.val) == 8100
    assert 700 < len(add.val) < 900
    assert len(source("reverse", items=50, val_items=7).val) == 7


def test_a_sum_is_held_out_in_both_orders() -> None:
    train, val = questions(source("add", val_items=10_000))
    for prompt in val:
        first, second = prompt.removeprefix("add:").split("+")
        assert f"add:{second}+{first}" not in train


def test_styles_of_sums() -> None:
    prompt = "add:34+57"
    assert scratch_line(prompt) == "4+7=11, 3+5+1=9"
    assert scratch_line("add:10+22") == "0+2=2, 1+2=3"
    right = {"plain": "91", "backwards": "19", "scratch": "4+7=11, 3+5+1=9\n91"}
    for style, answer in right.items():
        tasks = source("add", style)
        question = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
        assert tasks.task.answer(prompt, None) == answer  # type: ignore[arg-type]
        assert tasks.is_right(Chat.from_messages(question), answer)
    assert not source("add", "backwards").is_right(Chat.from_messages(question), "91")
    with pytest.raises(UserError, match=r"only data.task=add has styles"):
        source("sort", "plain")


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [("40+7", True), ("1+46", True), ("47+0", False), ("040+7", False), ("40 + 7", False), ("50+-3", False),
     ("47", False), ("20+20+7", False), ("\u0664\u0660+7", False), (f"{'1' * 5000}+1", False)],
)  # fmt: skip
def test_what_makes_a_sum(answer: str, is_right: bool) -> None:
    assert TASKS["make"].is_right("make:47", answer) == is_right


def test_the_same_seed_makes_the_same_splits() -> None:
    for task, style in KINDS:
        one, two = (source(task, style, items=100) for _ in range(2))
        assert (one.train.content_hash, one.val.content_hash) == (two.train.content_hash, two.val.content_hash)
