import numpy as np
import pytest
import torch

from recipes.tiny import collage, train
from recipes.tiny.collage import Collage, Memory
from recipes.tiny.data import IGNORE, LEFT_TOKENS, Heard
from recipes.tiny.tokenizer import PAD
from recipes.tiny.train import Trainer
from tests.recipes.conftest import TONES_HZ, train_here

NAMES = ["_", *TONES_HZ]
POOL = ["four three two one", "one two three", "five four four four"]


@pytest.fixture
def r():
    return np.random.default_rng(0)


def filled(sequences, pool=POOL, steps=12, **options) -> Collage:
    """A collage whose encoder hears phones without fail: a frame is the number of its phone."""
    made = Collage(sequences, {"open": 1.0}, pool, 0.5, **options)
    for step in range(steps):
        batch = sequences.at(step)
        made.memory.add(batch.phones[..., None].float(), batch.heard)
    return made


def test_what_is_written_is_what_the_frames_say(sequences, r):
    made = filled(sequences)
    frames, words = made._spoken(r, 96 * 4)
    assert frames.shape == (96 * 4, 1)
    assert len(words) > 6
    for word, end_s in words:
        end = int(np.searchsorted(made.frame_s, end_s))
        assert [NAMES[int(i)] for i in frames[end - 10 : end, 0]] == [word] * 10
    text = " ".join(word for word, _ in words)
    assert "four three two" in text
    assert "four four four" in text  # nobody says five


def test_a_batch_is_laid_out_as_speech_is(sequences, toy_tokenizer, monkeypatch):
    monkeypatch.setattr(collage, "LEAST_SEQUENCES", 12)
    sequences.delays = {(9, 9): 1.0}
    made = filled(sequences)
    batch, again = made.batch(5, 2), made.batch(5, 2)
    assert all(map(torch.equal, batch, again))
    assert not torch.equal(batch.frames, made.batch(6, 2).frames)
    assert batch.frames.shape == (2, 96 * 4, 1)
    assert batch.delay.tolist() == [9, 9]
    prompt = LEFT_TOKENS + 9
    assert (batch.tokens[:, 1 : prompt + 1] == PAD).all()
    assert (batch.targets[:, :prompt] == IGNORE).all()
    assert torch.equal(batch.targets[:, prompt:-1], batch.tokens[:, prompt + 1 :])
    assert "one two three" in toy_tokenizer.decode(batch.targets[0, prompt:].tolist())


def test_too_little_heard_gives_no_batch(sequences):
    assert filled(sequences, steps=3).batch(0, 1) is None


def test_a_text_that_nobody_says_gives_silence(sequences, r):
    frames, words = filled(sequences, ["five six seven", "one two eight"])._spoken(r, 96 * 4)
    assert not words
    assert not frames.any()
    assert len(frames) == 96 * 4


def memory_of(*sentences: list[Heard], kept=10) -> Memory:
    memory = Memory(kept)
    for sentence in sentences:
        memory.add(torch.arange(200).reshape(1, 200, 1), [sentence])
    return memory


def test_a_word_comes_from_behind_the_same_word_if_it_was_said_there(r):
    of_the = [Heard("of", 10, 20), Heard("the", 20, 30), Heard("", 30, 40), Heard("the", 50, 60)]
    memory = memory_of([Heard("the", 0, 10)], of_the, [Heard("the", 0, 10)])
    of = memory.find(r, "of")
    assert of == (1, 0)
    assert {memory.find(r, "the", of) for _ in range(20)} == {(1, 1)}
    assert memory.find(r, "", (1, 1)) == (1, 2)
    # a pause lies between
    assert len({memory.find(r, "the", (1, 2)) for _ in range(50)}) > 1
    assert memory.cut((1, 1)).flatten().tolist() == list(range(20, 30))


def test_a_long_pause_before_a_word_is_cut(r):
    assert memory_of([Heard("well", 0, 120)]).cut((0, 0)).flatten().tolist() == list(range(70, 120))


def test_what_was_heard_long_ago_is_forgotten(r):
    memory = memory_of([Heard("old", 0, 9)], [Heard("new", 0, 9)], [Heard("", 0, 9)], kept=2)
    assert len(memory) == 2
    assert memory.find(r, "old") is None
    assert memory.find(r, "new") == (1, 0)
    assert memory.find(r, "never") is None


@pytest.mark.parametrize(
    ("said", "kept"),
    [("a cat", True), ("it is a dog", True), ("a b c", False), ("smith a n", False), ("a", False)],
)
def test_letters_that_are_spelled_are_no_words(said, kept, r):
    heard = [Heard(word, 10 * i, 10 * i + 10) for i, word in enumerate(said.split())]
    assert (memory_of(heard).find(r, "a") is not None) == kept


def test_a_step_learns_from_it_and_leaves_the_encoder_to_the_speech(small_model, sequences, monkeypatch):
    monkeypatch.setattr(collage, "LEAST_SEQUENCES", 4)
    trainer = Trainer(small_model, 0.02, 2e-3)
    trainer.collage = Collage(sequences, {"open": 1.0}, POOL, 0.5)
    losses = [trainer.step(sequences.at(step)) for step in range(14)]
    assert ["collage" in loss for loss in losses[:5]] == [False, False, False, True, True]
    assert losses[-1]["collage"] < 0.7 * losses[3]["collage"]
    encoder, decoder = small_model.embedding.whisper_encoder, small_model.layers
    small_model.zero_grad()
    written = trainer.collage.batch(0, 1)
    trainer._text_loss(written.frames, written, 0.5).backward()
    assert all(p.grad is None for p in encoder.parameters())
    assert all(p.grad is not None for p in decoder.parameters())


def test_a_phase_reads_the_texts(toy, small_params, monkeypatch):
    monkeypatch.setattr(train, "params", small_params)
    monkeypatch.setattr(train, "LOG_EVERY_S", 0)
    monkeypatch.setattr(collage, "LEAST_SEQUENCES", 2)
    (toy / "text").mkdir()
    (toy / "text" / "some.txt").write_text("One two three.\nFour four four.\n")
    phase = train.Phase(
        "a", {"toy": 1.0}, steps=3, ranks=1, batch=1, ticks=96, collage_mix={"open": 1.0}, own_share=0.5
    )
    with pytest.raises(ValueError, match="needs the folder of texts"):
        train.train(phase, toy)
    train_here(phase, toy, text=toy / "text")
    assert '"collage"' in (toy / "run" / "a.jsonl").read_text()
