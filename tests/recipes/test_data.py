import numpy as np
import pytest
import torch

from recipes.tiny import augment, corpus, data
from recipes.tiny.data import IGNORE, LEFT_TOKENS, Sequences, Take, stream_targets
from recipes.tiny.mel import FLOOR, MELS_PER_TICK, TICK_SAMPLES, log_mel
from recipes.tiny.tokenizer import BOS, PAD, WORD


class OneTokenAWord:
    def word(self, word):
        return [100 + ord(c) for c in word]


def test_a_word_is_written_from_the_slot_it_ends_in():
    # ends at 0.25 s: slot 3 covers 0.24 to 0.32 s
    assert stream_targets([("a", 0.25)], 6, OneTokenAWord()) == [PAD, PAD, PAD, WORD, 197, PAD]


def test_words_that_are_ready_together_share_a_marker():
    assert stream_targets([("b", 0.05), ("a", 0.01)], 4, OneTokenAWord()) == [WORD, 197, 198, PAD]


def test_a_word_that_ends_while_another_is_written_waits_for_its_own_marker():
    got = stream_targets([("ab", 0.01), ("c", 0.09)], 7, OneTokenAWord())
    assert got == [WORD, 197, 198, WORD, 199, PAD, PAD]


def numpy_log_mel(audio: np.ndarray) -> np.ndarray:
    """The features by definition, frame by frame: [128, frames]."""

    def to_hz(m):
        return m * 200 / 3 if m < 15 else 1000 * 6.4 ** ((m - 15) / 27)

    top = 15 + 27 * np.log(8) / np.log(6.4)
    edges = [to_hz(m) for m in np.linspace(0, top, 130)]
    bank = np.zeros((128, 201))
    for b in range(128):
        low, mid, high = edges[b : b + 3]
        for k in range(201):
            hz = k * 40
            bank[b, k] = max(0, min((hz - low) / (mid - low), (high - hz) / (high - mid))) * 2 / (high - low)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    padded = np.concatenate([np.zeros(200), audio, np.zeros(400)])
    out = []
    for m in range((len(audio) - 40) // 160):
        power = np.abs(np.fft.rfft(padded[160 * m : 160 * m + 400] * window)) ** 2
        out.append((np.log10(np.maximum(bank @ power, 10**-6.5)) + 4) / 4)
    return np.array(out).T


def test_features_equal_their_definition():
    r = np.random.default_rng(0)
    audio = (r.standard_normal(TICK_SAMPLES * 3 + 40) * 0.1).astype(np.float32)
    got = log_mel(torch.from_numpy(audio)).numpy()
    assert got.shape == (128, 24)
    np.testing.assert_allclose(got, numpy_log_mel(audio.astype(np.float64)), atol=2e-4)


def test_a_sequence_begins_with_the_prompt_and_is_delayed(sequences, toy_tokenizer):
    sequences.delays = {(9, 9): 1.0}
    batch = sequences.at(3)
    assert batch.mel.shape == (1, 128, 96 * MELS_PER_TICK)
    assert batch.delay.tolist() == [9]
    prompt = LEFT_TOKENS + 9
    assert batch.tokens[0, : prompt + 1].tolist() == [BOS] + [PAD] * prompt
    assert (batch.targets[0, :prompt] == IGNORE).all()
    assert torch.equal(batch.targets[0, prompt:-1], batch.tokens[0, prompt + 1 :])
    words = set(toy_tokenizer.decode(batch.targets[0, prompt:].tolist()).split())
    assert words
    assert words <= {"one", "two", "three", "four"}


def test_batches_depend_on_seed_rank_and_step_alone(sequences):
    first = sequences.at(5)
    again = sequences.at(5)
    assert all(map(torch.equal, first[:-1], again[:-1]))
    assert first.heard == again.heard
    assert not torch.equal(first.mel, sequences.at(6).mel)
    sequences.rank = 1
    assert not torch.equal(first.mel, sequences.at(5).mel)


@pytest.mark.parametrize("loaders", [0, 1])
def test_shards_are_what_further_ranks_would_get(sequences, loaders):
    ahead = data.batches(sequences, 5, shards=2, loaders=loaders)
    fifth, sixth = next(ahead), next(ahead)
    for shard, rank in ((0, 0), (1, 1)):
        sequences.rank = rank
        for step, got in ((5, fifth), (6, sixth)):
            alone = sequences.at(step)
            for column, expected in zip(got[:-1], alone[:-1], strict=True):
                assert torch.equal(column[shard : shard + 1], expected)
            assert got.heard[shard] == alone.heard[0]


def test_phone_labels_lag_the_audio(sequences):
    take = Take(96, sequences.phone_ids)
    item = sequences.corpora[0].items[0]
    take.speak(item, sequences.corpora[0].load(item))
    names = ["_", "one", "two", "three", "four"]
    # frame u ends at (2 u + 1) 10 ms + 12.5 ms after the padding began, and names what was heard 80 ms before
    u = LEFT_TOKENS * 4 + round((0.15 + 0.08) / 0.02)
    assert names[take.phones[u]] == item["text"].split()[0]
    assert take.phones[LEFT_TOKENS * 4] == 0


def test_words_are_heard_where_their_phones_are(sequences):
    names = ["_", "one", "two", "three", "four"]
    batch = sequences.at(3)
    said = [heard for heard in batch.heard[0] if heard.word]
    assert said
    for word, first, end in said:
        assert [names[i] for i in batch.phones[0, first:end]] == [word] * (end - first)
        assert end - first == pytest.approx(0.3 / 0.02, abs=1)


def test_the_pause_behind_the_last_word_is_heard_and_what_is_cut_off_is_not(sequences):
    take = Take(96, sequences.phone_ids)
    item = {"words": [("one", 0.3), ("two", 0.6), ("three", 1.2)]}
    take.speak({**item, "words": item["words"][:2]}, np.zeros(16000, np.float32))
    left = LEFT_TOKENS * 4 + 3  # the first frame that ends 80 ms behind the first sample
    assert take.heard == [("one", left, left + 15), ("two", left + 15, left + 30), ("", left + 30, left + 50)]
    take.speak(item, np.zeros(16000, np.float32))
    assert [heard.word for heard in take.heard[3:]] == ["one", "two"]


def test_a_closed_gate_is_digital_silence_to_the_tick(sequences):
    take = Take(96, sequences.phone_ids)
    take.audio[:] = 0.1
    take.at = 1000
    take.close_gate(3)
    assert take.at == 4 * TICK_SAMPLES
    mel = sequences._features(np.random.default_rng(0), take, sequences.kinds)
    mel = mel[:, LEFT_TOKENS * MELS_PER_TICK :]
    assert (mel[:, 10:30] == FLOOR).all()
    assert (mel[:, :4] > FLOOR).any()
    assert (mel[:, 40:48] > FLOOR).any()


def test_the_light_share_gets_light_augmentation_alone(sequences):
    sequences.kinds = set(augment.LIGHT)
    light = sequences.at(2)
    sequences.kinds = set(augment.FULL)
    assert not torch.equal(light.mel, sequences.at(2).mel)
    sequences.light_share = 1.0
    assert torch.equal(light.mel, sequences.at(2).mel)


def test_gains_reach_from_a_quiet_microphone_to_a_loud_one():
    r = np.random.default_rng(0)
    gains_db = 20 * np.log10([augment.gain(r) for _ in range(2000)])
    assert -40 <= gains_db.min() < -35
    assert 4 < gains_db.max() <= 5
    assert 0.03 < np.mean(gains_db < -26) < 0.07


@pytest.mark.parametrize("kind", sorted(augment.KINDS))
def test_every_augmentation_keeps_shape_and_range(sequences, kind):
    sequences.kinds = {kind}
    for step in range(4):
        mel = sequences.at(step).mel
        assert torch.isfinite(mel).all()
        assert mel.min() >= FLOOR - 0.5


def test_unknown_augmentation_is_refused(sequences):
    with pytest.raises(ValueError, match="unknown augmentation echo"):
        Sequences(sequences.corpora, None, ["_"], None, kinds=("echo",))


def test_a_room_does_not_move_the_words():
    r = np.random.default_rng(0)
    click = np.zeros(4000, np.float32)
    click[1000] = 1
    for _ in range(5):
        wet = augment.reverberate(click, augment.Noises().room(r))
        assert np.abs(wet).argmax() == 1000


def test_mu_law_keeps_8_bits():
    x = np.linspace(-1, 1, 20001, dtype=np.float32)
    y = augment.mu_law(x)
    assert len(np.unique(y)) == 255
    assert np.abs(x - y).max() < 0.03


def test_clipping_cuts_peaks_alike_on_both_sides():
    r = np.random.default_rng(0)
    audio = r.standard_normal(16000).astype(np.float32)
    got = augment.clipped(r, audio)
    top = np.abs(got).max()
    assert top < np.abs(audio).max()
    np.testing.assert_array_equal(got, audio.clip(-top, top))
    np.testing.assert_array_equal(augment.clipped(r, np.zeros(99, np.float32)), np.zeros(99))


def test_lost_packets_are_silence_or_the_packet_before():
    audio = np.arange(1, 32001, dtype=np.float32)
    seen = set()
    for seed in range(20):
        got = augment.lossy(np.random.default_rng(seed), audio)
        packets, original = got.reshape(-1, 320), audio.reshape(-1, 320)
        for i in np.flatnonzero((packets != original).any(1)):
            silent = not packets[i].any()
            assert silent or (packets[i] == packets[i - 1]).all()
            seen.add(silent)
    assert seen == {True, False}


def test_noise_instead_of_speech_may_end_a_sequence(sequences):
    sequences.kinds = set(augment.FULL)
    for step in range(60):
        batch = sequences.at(step)
        assert batch.mel.isfinite().all() and batch.mel.shape[-1] == 96 * MELS_PER_TICK


@pytest.fixture
def with_silence(toy, toy_tokenizer):
    """Share of wordless sequences -> sequences over the toy corpus and one of a voice that says nothing."""
    writer = corpus.Writer(toy / "corpus" / "mute")
    writer.add(np.full(8000, 9000, np.int16), text="", voice="v", domain="foreign", words=[])
    writer.close()
    corpora = [corpus.Corpus(toy / "corpus" / name) for name in ("toy", "mute")]
    phones = ["_", "one", "two", "three", "four"]
    noises = augment.Noises()
    return lambda share, corpora=corpora: Sequences(
        corpora, toy_tokenizer, phones, noises, batch=1, ticks=96, kinds=(), wordless_share=share
    )


def test_wordless_sequences_hold_nothing_but_wordless_speech(with_silence):
    def without_words(share):
        sequences = with_silence(share)
        batches = [sequences.at(step) for step in range(40)]
        return sum(int(not (b.targets == WORD).any()) for b in batches)

    assert without_words(1.0) == 40
    assert 10 <= without_words(0.5) <= 30
    assert without_words(0.0) <= 5


def test_wordless_sequences_need_a_corpus_without_words(with_silence, toy):
    with pytest.raises(ValueError, match="without words"):
        with_silence(0.1, [corpus.Corpus(toy / "corpus" / "toy")])
